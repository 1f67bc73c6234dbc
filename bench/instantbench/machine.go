//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where a report comes from.
type machine struct {
	CPU      string  `json:"cpu"`
	Cores    int     `json:"cores"`
	MemoryGB float64 `json:"memory_gb"`
	Kernel   string  `json:"kernel"`
	Go       string  `json:"go"`
	SyncMS   float64 `json:"fdatasync_ms"` // median of 4 KiB, in the folder of the data
}

// String is one line.
func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %.0f GiB, Linux %s, %s, fdatasync %.2f ms", m.CPU, m.Cores, m.MemoryGB, m.Kernel, m.Go, m.SyncMS)
}

// thisMachine looks around. dir is where servers keep their data.
func thisMachine(dir string) (machine, error) {
	m := machine{CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version()}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(info), "model name"); ok {
			name, _, _ := strings.Cut(rest, "\n")
			m.CPU = strings.Trim(name, "\t :")
		}
	}
	var system unix.Sysinfo_t
	if err := unix.Sysinfo(&system); err == nil {
		m.MemoryGB = float64(system.Totalram*uint64(system.Unit)/(1<<20)) / 1024
	}
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err == nil {
		m.Kernel = unix.ByteSliceToString(kernel.Release[:])
	}
	var err error
	m.SyncMS, err = syncTime(dir)
	return m, err
}

// syncTime is how long the disk takes to make 4 KiB durable, in milliseconds:
// no durable answer is faster.
func syncTime(dir string) (float64, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	file, err := os.CreateTemp(dir, "instantbench-sync-")
	if err != nil {
		return 0, fmt.Errorf("try the disk: %w", err)
	}
	defer os.Remove(filepath.Clean(file.Name()))
	defer file.Close()
	r, block := newRecorder(), make([]byte, 4<<10)
	for range 100 {
		begin := now()
		_, err := file.Write(block)
		if err == nil {
			err = unix.Fdatasync(int(file.Fd()))
		}
		if err != nil {
			return 0, fmt.Errorf("try the disk: %w", err)
		}
		r.record(now() - begin)
	}
	return r.latency().P50, nil
}

// tick is the unit of CPU times in /proc: USER_HZ is 100 wherever Go runs.
const tick = 10 * time.Millisecond

// usage is CPU time used so far.
type usage struct {
	at        int64
	server    time.Duration // 0 when the process is not known
	generator time.Duration
	machine   time.Duration // by everybody, other machines on the same host included
}

// use reads the CPU times of the server, of us and of the machine.
func use(pid int) (usage, error) {
	u := usage{at: now()}
	var err error
	if pid != 0 {
		if u.server, err = processTime(pid); err != nil {
			return usage{}, err
		}
	}
	var self unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &self); err != nil {
		return usage{}, fmt.Errorf("read our CPU time: %w", err)
	}
	u.generator = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	u.machine, err = machineTime()
	return u, err
}

func processTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("read the server's CPU time: %w", err)
	}
	return parseProcessTime(stat)
}

// parseProcessTime adds utime and stime, fields 14 and 15. The second field is a name in
// parentheses that may hold blanks.
func parseProcessTime(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	if end < 0 || len(fields) < 13 {
		return 0, errors.New("the server's CPU time is not understood")
	}
	user, system := number(fields[11]), number(fields[12])
	if user < 0 || system < 0 {
		return 0, errors.New("the server's CPU time is not understood")
	}
	return time.Duration(user+system) * tick, nil
}

func machineTime() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read the machine's CPU time: %w", err)
	}
	return parseMachineTime(stat)
}

// parseMachineTime adds user, nice, system, irq, softirq and steal of all
// processors: everything but idle and iowait.
func parseMachineTime(stat []byte) (time.Duration, error) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, errors.New("the machine's CPU time is not understood")
	}
	var ticks int
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		ticks += number(fields[i])
	}
	return time.Duration(ticks) * tick, nil
}

// cost is what work cost between two moments.
type cost struct {
	Server    float64 `json:"server_us"`      // CPU microseconds per piece of work
	Generator float64 `json:"generator_us"`   // the same, of this program
	Others    float64 `json:"others_percent"` // of the machine, used by neither
}

// since is what was used since an earlier moment, for so many pieces of work.
func (u usage) since(before usage, pieces int64) cost {
	if pieces == 0 {
		return cost{}
	}
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1_000 / float64(pieces) }
	server, generator := u.server-before.server, u.generator-before.generator
	c := cost{Server: each(server), Generator: each(generator)}
	if whole := float64(u.at-before.at) * float64(runtime.NumCPU()); whole > 0 {
		c.Others = max(0, 100*float64(u.machine-before.machine-server-generator)/whole)
	}
	return c
}
