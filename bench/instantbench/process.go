//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTime = 30 * time.Second // until a child has said where it listens
	stopTime  = 40 * time.Second // until a child has ended after SIGTERM
)

// process is a server that we started. It is told to end when we die.
type process struct {
	name      string
	command   *exec.Cmd
	addresses map[string]string // what it printed: clients, admin, ops → URL
	stderr    tail
	ended     chan error // what became of it, once
}

// startProcess starts a server and waits until it has printed where it listens,
// as instantd does: lines of a name and a URL, clients among them.
func startProcess(name, binary string, args, environ []string) (*process, error) {
	p := &process{name: name, command: exec.Command(binary, args...), addresses: map[string]string{}, ended: make(chan error, 1)}
	p.command.Env = append(os.Environ(), environ...)
	p.command.Stderr = &p.stderr
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	printed := make(chan bool, 1)
	go func() { // ends with the process
		printed <- p.readAddresses(stdout)
		_, _ = io.Copy(io.Discard, stdout)
		p.ended <- p.command.Wait()
	}()
	select {
	case ok := <-printed:
		if ok {
			return p, nil
		}
		err = errors.New("it printed no address of clients")
	case <-time.After(startTime):
		err = errors.New("it prints no addresses")
	}
	_ = p.command.Process.Kill()
	<-p.ended
	return nil, fmt.Errorf("start %s: %w\n%s", name, err, p.stderr.text())
}

// readAddresses reads until the last line that instantd prints, or the end.
func (p *process) readAddresses(r io.Reader) bool {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 2 {
			p.addresses[fields[0]] = strings.TrimSuffix(fields[1], "/")
		}
		if len(fields) > 0 && fields[0] == "data" {
			break
		}
	}
	return p.addresses["clients"] != ""
}

// stop ends the process in order, and reports when that goes wrong.
func (p *process) stop() error {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		if err != nil {
			return fmt.Errorf("%s ended badly: %w\n%s", p.name, err, p.stderr.text())
		}
		return nil
	case <-time.After(stopTime):
		_ = p.command.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within %s\n%s", p.name, stopTime, p.stderr.text())
	}
}

// tail keeps the last lines of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailSize = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if len(t.kept) > 2*tailSize {
		t.kept = append([]byte(nil), t.kept[len(t.kept)-tailSize:]...)
	}
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.kept[max(0, len(t.kept)-tailSize):]))
}

// addressOf is where a URL connects to. Load goes to this machine only.
func addressOf(text string) (netip.AddrPort, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" {
		return netip.AddrPort{}, fmt.Errorf("%q is not a URL such as http://127.0.0.1:8080", text)
	}
	host := u.Host
	if name, port, ok := strings.Cut(host, ":"); ok && name == "localhost" {
		host = "127.0.0.1:" + port
	}
	addr, err := netip.ParseAddrPort(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q names no address and port: %w", text, err)
	}
	if !addr.Addr().IsLoopback() {
		return netip.AddrPort{}, fmt.Errorf("%s is not on this machine: load goes to loopback only", addr)
	}
	return addr, nil
}
