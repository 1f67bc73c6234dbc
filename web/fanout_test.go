package web

import (
	"bytes"
	"io"
	"net"
	"testing"

	"instantd/protocol"
)

// BenchmarkFanout sends one frame of 200 bytes to 1,000 local connections. An
// iteration of raw and ws ends when the last peer has read it; those with
// 16-in-flight send 16 frames before they wait. raw writes to each connection
// in turn, which is the least that a server must do.
func BenchmarkFanout(b *testing.B) {
	b.Run("raw", func(b *testing.B) { benchmarkRaw(b, 1) })
	b.Run("ws", func(b *testing.B) { benchmarkWS(b, 1) })
	b.Run("raw-16-in-flight", func(b *testing.B) { benchmarkRaw(b, 16) })
	b.Run("ws-16-in-flight", func(b *testing.B) { benchmarkWS(b, 16) })
}

const fanoutConns, fanoutFrame = 1_000, 200

// audience counts rounds of bytes: it reports once when one peer has read
// perRound bytes.
func audience(r io.Reader, perRound int, read chan<- struct{}) {
	buf := make([]byte, 8<<10)
	for left := perRound; ; { // ends with the connection
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		for left -= n; left <= 0; left += perRound {
			read <- struct{}{}
		}
	}
}

func rounds(b *testing.B, flight int, read <-chan struct{}, publish func()) {
	b.ReportAllocs()
	for b.Loop() {
		for range flight {
			publish()
		}
		for range fanoutConns {
			<-read
		}
	}
	b.ReportMetric(float64(b.N*flight*fanoutConns)/b.Elapsed().Seconds(), "deliveries/s")
}

func benchmarkRaw(b *testing.B, flight int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	read := make(chan struct{}, fanoutConns)
	frame := bytes.Repeat([]byte("x"), fanoutFrame)
	var conns []net.Conn
	for range fanoutConns {
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer peer.Close()
		conn, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
		go audience(peer, flight*fanoutFrame, read)
	}
	rounds(b, flight, read, func() {
		for _, c := range conns {
			if _, err := c.Write(frame); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchmarkWS(b *testing.B, flight int) {
	held := make(chan protocol.Conn, fanoutConns)
	_, s := sockets(b, WebSocketOptions{}, hold(held))
	read := make(chan struct{}, fanoutConns)
	frame := bytes.Repeat([]byte("x"), fanoutFrame)
	onWire := len(appendText(nil, frame))
	var conns []protocol.Conn
	for range fanoutConns {
		p := rawDial(b, s)
		conns = append(conns, within(b, "a connection", held))
		go audience(p.r, flight*onWire, read)
	}
	rounds(b, flight, read, func() {
		for _, c := range conns {
			if !c.Push(frame) {
				b.Fatal("a queue is full")
			}
		}
	})
}
