//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// raw is the raw peer, in a process of its own. It is the least that a server
// must do: no rules, no store, no queues that could be full.
type raw struct {
	*process
	at netip.AddrPort
}

// startRaw starts the raw peer: RAW, or RAW-C when it joins frames.
func startRaw(joined bool) (*raw, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the raw peer: %w", err)
	}
	name, args := "RAW", []string{"raw"}
	if joined {
		name, args = "RAW-C", []string{"raw", "--joined"}
	}
	child, err := startProcess(name, self, args, nil)
	if err != nil {
		return nil, err
	}
	at, err := addressOf(child.addresses["clients"])
	if err != nil {
		return nil, errors.Join(err, child.stop())
	}
	return &raw{process: child, at: at}, nil
}

func (r *raw) name() string         { return r.process.name }
func (r *raw) addr() netip.AddrPort { return r.at }
func (r *raw) pid() int             { return r.command.Process.Pid }
func (r *raw) close() error         { return r.stop() }

// group implements peer: everybody who connects is a member.
func (r *raw) group(_ context.Context, members int) (group, error) {
	return group{conversation: "raw", tokens: make([]string, members)}, nil
}

// rawCommand is the process of the raw peer.
type rawCommand struct {
	Joined bool `help:"Join the frames that wait for a connection into one write."`
}

// Run serves until ctx ends.
func (c *rawCommand) Run(ctx context.Context, out *output) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(out.stdout, "clients http://%s/\ndata none\n", listener.Addr())
	return serveRaw(ctx, listener, c.Joined)
}

// serveRaw is the raw peer: it closes the listener when ctx ends.
func serveRaw(ctx context.Context, listener net.Listener, joined bool) error {
	s := &rawServer{}
	writers := 1
	if joined {
		writers = runtime.GOMAXPROCS(0)
	}
	var running sync.WaitGroup
	for range writers {
		w := &rawWriter{joined: joined, wake: make(chan struct{}, 1)}
		s.writers = append(s.writers, w)
		if joined {
			running.Go(func() { w.run(ctx) }) // ends with ctx
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			s.closeAll()
			running.Wait()
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		running.Go(func() { s.serve(conn) }) // ends with the connection
	}
}

// rawServer sends what any member sends to all members.
type rawServer struct {
	writers []*rawWriter

	mu    sync.Mutex
	conns []net.Conn
	seq   uint64
}

// serve is the life of one connection. What fails ends it; the fleet tells.
func (s *rawServer) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 512)
	request, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	if err := s.join(conn, acceptOf(request.Header.Get("Sec-WebSocket-Key"))); err != nil {
		return
	}
	var buf []byte
	piece := make([]byte, 512)
	for {
		n, err := r.Read(piece)
		if err != nil {
			return
		}
		buf = append(buf, piece[:n]...)
		for {
			f, n, err := readFrame(buf, true)
			if err != nil {
				return
			}
			if n == 0 {
				break
			}
			if bytes.HasPrefix(f.payload, []byte(`{"cmd":"send"`)) {
				s.publish(conn, f.payload)
			}
			buf = append(buf[:0], buf[n:]...)
		}
	}
}

// join says that a member is ready and makes him one, with nothing published
// between: he would miss it.
func (s *rawServer) join(conn net.Conn, accept string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
		accept, appendFrame(nil, opText, []byte(`{"cmd":"ready"}`), false))
	if err != nil {
		return err
	}
	w := s.writers[len(s.conns)%len(s.writers)]
	s.conns = append(s.conns, conn)
	w.mu.Lock()
	w.conns = append(w.conns, conn)
	w.mu.Unlock()
	return nil
}

func (s *rawServer) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
}

// publish answers the sender and gives everybody a message as long as
// instantd's, framed once.
func (s *rawServer) publish(conn net.Conn, payload []byte) {
	ref := strconv.Itoa(after(payload, keyRef))
	text, _, _ := strings.Cut(string(find(payload, keyText)), `"`)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	seq := strconv.FormatUint(s.seq, 10)
	_, _ = conn.Write(appendFrame(nil, opText, []byte(
		`{"cmd":"reply","ref":`+ref+`,"code":0,"data":{"conversation_id":"0123456789abcdef01234567","msg_id":890123456789012,"seq":`+seq+`}}`), false))
	frame := appendFrame(nil, opText, []byte(told(s.seq, text)), false)
	for _, w := range s.writers {
		w.send(frame)
	}
}

// rawWriter writes to its share of the connections.
type rawWriter struct {
	joined bool
	wake   chan struct{}

	mu    sync.Mutex
	conns []net.Conn
	queue []byte // whole frames; only when they are joined
}

// send writes at once, or lets run join the frame with others.
func (w *rawWriter) send(frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.joined {
		for _, conn := range w.conns {
			_, _ = conn.Write(frame)
		}
		return
	}
	w.queue = append(w.queue, frame...)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes what waits, again and again.
func (w *rawWriter) run(ctx context.Context) {
	var batch []byte
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		batch, w.queue = w.queue, batch[:0]
		conns := w.conns
		w.mu.Unlock()
		for _, conn := range conns {
			_, _ = conn.Write(batch)
		}
	}
}
