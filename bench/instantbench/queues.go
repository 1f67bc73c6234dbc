//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

const (
	// consumingConns carry all consumers, each on a channel of its own.
	consumingConns = 2
	// prefetch is how many deliveries wait at a consumer, who acknowledges
	// every ackDeliveries of them at once.
	prefetch      = 128
	ackDeliveries = 16
)

// queuesDialect is that of members who read queues: they hear what instantd's
// sessions hear, and acknowledge to the broker.
type queuesDialect struct{ instantDialect }

func (queuesDialect) ack(string, uint64) []byte { return nil }

// queues are the consumers of an audience's members.
type queues struct {
	conns     []*amqp.Connection
	pages     []sync.Mutex // one for each connection: pages of a ledger have one writer
	first     int          // the number of the first page
	consuming sync.WaitGroup
	begun     *latch // everybody has heard of the conversation
}

// consume makes an audience of those who read these queues. Its fleet is for
// senders.
func consume(ctx context.Context, readers int, url string, g group, names []string) (_ *audience, err error) {
	f, err := newFleet(readers)
	if err != nil {
		return nil, err
	}
	q := &queues{pages: make([]sync.Mutex, consumingConns), first: len(f.readers), begun: newLatch(len(names))}
	a := &audience{fleet: f, group: g, dialect: queuesDialect{}, queues: q, members: make([]*member, len(names))}
	a.healthy, a.fail = context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	for range consumingConns {
		conn, err := amqp.Dial(url)
		if err != nil {
			return nil, fmt.Errorf("reach the broker: %w", err)
		}
		q.conns = append(q.conns, conn)
	}
	for i := range names {
		a.members[i] = &member{number: i, audience: a, ready: true, client: &client{fd: -1}}
	}
	err = forEach(a.healthy, len(names), func(i int) error { return q.add(a.members[i], names[i], i%consumingConns) })
	return a, err
}

// add begins to consume for a member.
func (q *queues) add(m *member, name string, page int) error {
	channel, err := q.conns[page].Channel()
	if err == nil {
		err = channel.Qos(prefetch, 0, false)
	}
	if err != nil {
		return fmt.Errorf("consume %s: %w", name, err)
	}
	deliveries, err := channel.Consume(name, "", false, true, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume %s: %w", name, err)
	}
	q.consuming.Go(func() { m.ended(q.run(m, page, deliveries)) }) // ends with the connection
	return nil
}

// run tells a member what comes, until nothing does or something is wrong.
func (q *queues) run(m *member, page int, deliveries <-chan amqp.Delivery) error {
	waiting := 0
	for d := range deliveries {
		in := input{at: now(), reader: q.first + page}
		q.pages[page].Lock()
		err := m.hear(scan(d.Body), in)
		q.pages[page].Unlock()
		if err != nil {
			return err
		}
		if bytes.HasPrefix(d.Body, prefixCreated) {
			q.begun.count()
		}
		if waiting++; waiting == ackDeliveries {
			waiting = 0
			if err := d.Ack(true); err != nil {
				return fmt.Errorf("acknowledge: %w", err)
			}
		}
	}
	return errors.New("the broker ended the consumer")
}

// count is how many pages of a ledger queues need: beside the consumers', one
// for confirms.
func (q *queues) count() int {
	if q == nil {
		return 0
	}
	return consumingConns + 1
}

// confirms is the number of the page for confirms.
func (q *queues) confirms() int { return q.first + consumingConns }

// close ends the consumers. Nothing of them runs when it returns.
func (q *queues) close() {
	if q == nil {
		return
	}
	for _, conn := range q.conns {
		_ = conn.Close() // it may be closed already
	}
	q.consuming.Wait()
}

// checkBroker refuses a broker that is not on this machine, and one that a
// server uses: a second one would take its commands away.
func checkBroker(url string) error {
	uri, err := amqp.ParseURI(url)
	if err != nil {
		return fmt.Errorf("--amqp-url: %w", err)
	}
	if addr, err := netip.ParseAddr(uri.Host); uri.Host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return fmt.Errorf("--amqp-url: %s is not on this machine: load goes to loopback only", uri.Host)
	}
	return withBroker(url, func(channel *amqp.Channel) error {
		queue, err := channel.QueueDeclarePassive(queueBase, true, false, false, false, nil)
		if err != nil {
			return nil // it is not there
		}
		if queue.Consumers > 0 {
			return errors.New("another server uses the broker: give a private one")
		}
		return nil
	})
}

// withBroker does something on a channel of its own.
func withBroker(url string, do func(*amqp.Channel) error) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return fmt.Errorf("reach the broker: %w", err)
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("reach the broker: %w", err)
	}
	return do(channel)
}

// Names of the AMQP side of instantd (protocol/instant/SPEC.md §4.2).
const (
	exchangeBase = "exchange_instant_base"
	queueBase    = "queue_instant_base"
	queueDead    = "queue_instant_base_dead"
)

// sweep takes everything of a run from the broker.
func sweep(url string, queueNames, exchanges []string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return fmt.Errorf("clean the broker: %w", err)
	}
	defer conn.Close()
	var group errgroup.Group // ends below
	remove := func(names []string, one func(*amqp.Channel, string) error) {
		group.Go(func() error {
			channel, err := conn.Channel()
			for _, name := range names {
				if err == nil {
					err = one(channel, name)
				}
			}
			if err != nil {
				return fmt.Errorf("clean the broker: %w", err)
			}
			return nil
		})
	}
	remove(queueNames, func(channel *amqp.Channel, name string) error {
		_, err := channel.QueueDelete(name, false, false, false)
		return err
	})
	remove(exchanges, func(channel *amqp.Channel, name string) error { return channel.ExchangeDelete(name, false, false) })
	return group.Wait()
}

// exchangesOf are what instantd declares for users and a conversation.
func exchangesOf(users []string, conversation string) []string {
	names := []string{"exchange_c_" + conversation, exchangeBase}
	for _, user := range users {
		names = append(names, "exchange_u_"+user)
	}
	return names
}
