package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
)

// stopTime is how long a server may take to end.
const stopTime = 10 * time.Second

// serveCentrifuge serves every channel to everybody at /connection/websocket.
// There is no history, so a message is not kept for those who are away.
func serveCentrifuge(ctx context.Context, stdout io.Writer) error {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelNone, ClientChannelLimit: 1_000_000})
	if err != nil {
		return fmt.Errorf("make node: %w", err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, answer centrifuge.PublishCallback) {
			answer(centrifuge.PublishReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return fmt.Errorf("run node: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), shutDown(ctx, node))
	}
	routes := http.NewServeMux()
	routes.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	server := &http.Server{Handler: routes, ReadHeaderTimeout: stopTime}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }() // ends with Close

	err = announce(stdout, listener.Addr().String(), "none")
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-served:
		}
	}
	return errors.Join(err, shutDown(ctx, node), server.Close())
}

// shutDown disconnects everybody. ctx has ended when a peer is told to end.
func shutDown(ctx context.Context, node *centrifuge.Node) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	return node.Shutdown(ctx)
}
