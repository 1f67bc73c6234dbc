package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// path is where each peer's WebSockets are.
var paths = map[string]string{"centrifuge": "/connection/websocket", "nats": "/", "jetstream": "/"}

func TestPeersServeAndEnd(t *testing.T) {
	for name := range peers {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			printed, stdout := io.Pipe()
			ended := make(chan int, 1)
			var stderr strings.Builder
			go func() { // ends with stop
				status := run(ctx, []string{name}, stdout, &stderr)
				_ = stdout.Close()
				ended <- status
			}()
			lines := bufio.NewScanner(printed)
			var said []string
			for len(said) < 2 && lines.Scan() {
				said = append(said, lines.Text())
			}
			if len(said) != 2 || !strings.HasPrefix(said[0], "clients http://127.0.0.1:") || !strings.HasPrefix(said[1], "data ") {
				t.Fatalf("it prints %q, %s", said, stderr.String())
			}
			upgrade(t, strings.Fields(said[0])[1], paths[name])
			stop()
			if status := <-ended; status != 0 {
				t.Errorf("it ends with %d: %s", status, stderr.String())
			}
		})
	}
}

// upgrade opens a WebSocket and closes it.
func upgrade(t *testing.T, base, path string) {
	t.Helper()
	at, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+at.Host+
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: aW5zdGFudGJlbmNoLWtleQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("the handshake is answered by %s", response.Status)
	}
}

func TestCommandLine(t *testing.T) {
	for name, args := range map[string][]string{"nothing": nil, "an unknown peer": {"telegraph"}, "two peers": {"nats", "jetstream"}} {
		t.Run(name, func(t *testing.T) {
			var stderr strings.Builder
			if status := run(t.Context(), args, io.Discard, &stderr); status != 2 || !strings.Contains(stderr.String(), "usage") {
				t.Errorf("status %d and %q, want 2 and the usage", status, stderr.String())
			}
		})
	}
}
