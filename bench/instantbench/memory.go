//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// memory is what a server holds, in bytes; in a phase, for each session.
type memory struct {
	RSS       float64 `json:"rss"`
	Anonymous float64 `json:"anonymous"`  // of it, what no file stands behind
	Heap      float64 `json:"heap"`       // Go's objects and the holes between them; 0 when it is not known
	Stacks    float64 `json:"stacks"`     // of goroutines
	Routines  float64 `json:"goroutines"` // how many
}

// each divides what was added since by n.
func (m memory) each(since memory, n int) memory {
	per := func(now, then float64) float64 { return (now - then) / float64(n) }
	return memory{
		RSS: per(m.RSS, since.RSS), Anonymous: per(m.Anonymous, since.Anonymous),
		Heap: per(m.Heap, since.Heap), Stacks: per(m.Stacks, since.Stacks), Routines: per(m.Routines, since.Routines),
	}
}

// Garbage goes and freed pages return to the system in the background. Memory
// is at rest when it has not fallen below its least for restLooks looks.
const (
	restEvery = 250 * time.Millisecond
	restLooks = 8
	restTime  = time.Minute
)

// atRest is what a server holds when its garbage is collected: the least that
// it comes to.
func (s *instantd) atRest(ctx context.Context) (memory, error) {
	if s.number == 0 {
		return memory{}, errors.New("the server's memory is not known without --pid")
	}
	ctx, cancel := context.WithTimeout(ctx, restTime)
	defer cancel()
	ticker := time.NewTicker(restEvery)
	defer ticker.Stop()
	var least memory
	for looks := 0; looks < restLooks; looks++ {
		now, err := s.memory(ctx)
		if err != nil {
			return memory{}, err
		}
		if least.RSS == 0 || now.RSS < 0.999*least.RSS {
			looks = 0
		}
		if least.RSS == 0 || now.RSS < least.RSS {
			least = now
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return memory{}, fmt.Errorf("the server's memory does not come to rest: %w", ctx.Err())
		}
	}
	return least, nil
}

// memory lets the server collect its garbage and looks at what it holds.
func (s *instantd) memory(ctx context.Context) (memory, error) {
	var m memory
	if s.ops != "" {
		if _, err := s.fromOps(ctx, "/debug/pprof/heap?gc=1"); err != nil {
			return memory{}, err
		}
		metrics, err := s.fromOps(ctx, "/metrics")
		if err != nil {
			return memory{}, err
		}
		m.Heap = gauge(metrics, "go_memstats_heap_inuse_bytes")
		m.Stacks = gauge(metrics, "go_memstats_stack_inuse_bytes")
		m.Routines = gauge(metrics, "go_goroutines")
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(s.number) + "/status")
	if err != nil {
		return memory{}, fmt.Errorf("read the server's memory: %w", err)
	}
	rss, anonymous := kilobytes(status, "VmRSS:"), kilobytes(status, "RssAnon:")
	if rss < 0 || anonymous < 0 {
		return memory{}, errors.New("the server's memory is not understood")
	}
	m.RSS, m.Anonymous = 1024*float64(rss), 1024*float64(anonymous)
	return m, nil
}

// kilobytes is a figure of /proc/<pid>/status, -1 when it is not there.
func kilobytes(status []byte, key string) int {
	return number(bytes.TrimLeft(find(status, []byte("\n"+key)), " \t"))
}

// gauge is a metric without labels, 0 when it is not there.
func gauge(metrics []byte, name string) float64 {
	text, _, _ := strings.Cut(string(find(metrics, []byte("\n"+name+" "))), "\n")
	value, _ := strconv.ParseFloat(text, 64) // 0 then
	return value
}

// fromOps asks the ops listener.
func (s *instantd) fromOps(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.ops, "/readyz")+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: the server answered %s", path, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 16<<20))
}
