package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Names that instantbench knows, too.
const (
	subjectPublish = "bench"         // where the sender publishes
	subjectStored  = "bench-deliver" // what the stream delivers after it has stored
	streamName     = "BENCH"
)

// startTime is how long a server may take to listen.
const startTime = 10 * time.Second

// serveNATS serves NATS over WebSocket.
func serveNATS(ctx context.Context, stdout io.Writer) error {
	s, err := startNATS(&server.Options{})
	if err != nil {
		return err
	}
	defer stopNATS(s)
	return serveUntil(ctx, s, stdout, "none")
}

// serveJetStream serves NATS over WebSocket with one stream. A message to
// subjectPublish is acknowledged when it is on disk, and then delivered to
// everybody who subscribes to subjectStored.
func serveJetStream(ctx context.Context, stdout io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "jetstream-")
	if err != nil {
		return fmt.Errorf("make a data folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := startNATS(&server.Options{JetStream: true, StoreDir: dir, SyncAlways: true})
	if err != nil {
		return err
	}
	defer stopNATS(s)
	if err := makeStream(s); err != nil {
		return err
	}
	return serveUntil(ctx, s, stdout, dir)
}

// startNATS starts a server on free loopback ports.
func startNATS(options *server.Options) (*server.Server, error) {
	options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
	options.Websocket = server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoTLS: true}
	options.NoLog, options.NoSigs = true, true
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("make server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startTime) {
		stopNATS(s)
		return nil, fmt.Errorf("the server does not listen within %s", startTime)
	}
	return s, nil
}

func stopNATS(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func serveUntil(ctx context.Context, s *server.Server, stdout io.Writer, dir string) error {
	ports := s.PortsInfo(startTime)
	if ports == nil || len(ports.WebSocket) == 0 {
		return errors.New("the server has no WebSocket port")
	}
	at, err := url.Parse(ports.WebSocket[0])
	if err != nil {
		return fmt.Errorf("find the WebSocket port: %w", err)
	}
	if err := announce(stdout, at.Host, dir); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// makeStream makes the stream and a consumer that delivers what it has stored,
// in its order, to everybody who listens: one consumer for all members, because
// one for each would be slower.
func makeStream(s *server.Server) error {
	client, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return fmt.Errorf("connect to the server: %w", err)
	}
	defer client.Close()
	stream, err := client.JetStream()
	if err != nil {
		return fmt.Errorf("use streams: %w", err)
	}
	if _, err := stream.AddStream(&nats.StreamConfig{Name: streamName, Subjects: []string{subjectPublish}, Storage: nats.FileStorage}); err != nil {
		return fmt.Errorf("make stream: %w", err)
	}
	_, err = stream.AddConsumer(streamName, &nats.ConsumerConfig{
		Durable: "members", DeliverSubject: subjectStored, DeliverPolicy: nats.DeliverAllPolicy, AckPolicy: nats.AckNonePolicy,
	})
	if err != nil {
		return fmt.Errorf("make consumer: %w", err)
	}
	return nil
}
