//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
)

// fill sends so many messages to a conversation, many at once.
func (c *historyCommand) fill(ctx context.Context, server *instantd, log group, n int) error {
	f, err := newFleet(c.Readers)
	if err != nil {
		return err
	}
	defer f.close()
	d, err := newDesk(ctx, f, server.addr(), min(n, fillers))
	if err != nil {
		return err
	}
	defer d.close()
	request := postText(d.host, log.tokens[0], draft(log.conversation, text(0, c.Size)))
	for range n {
		if err := d.ask(request, func(input, int64, answer) error { return nil }); err != nil {
			return err
		}
	}
	if err := d.drain(); err != nil {
		return err
	}
	head, err := server.head(ctx, log.conversation)
	if err == nil && head != int(seqOf(n)) {
		err = fmt.Errorf("%d messages were answered, and the conversation ends at seq %d", n, head)
	}
	return err
}

// newest is the id of a conversation's newest message.
func (c *historyCommand) newest(ctx context.Context, server *instantd, log group) (uint64, error) {
	messages, err := server.operator.History(ctx, log.conversation, "", 1)
	if err != nil {
		return 0, err
	}
	if len(messages) != 1 {
		return 0, errors.New("a conversation has no newest message")
	}
	id := number([]byte(messages[0].ID))
	if id < 1 {
		return 0, fmt.Errorf("%q is no message id", messages[0].ID)
	}
	return uint64(id), nil
}

// idBehind is an id behind the nth message and not behind the next one, found
// by halving: ids grow with the messages.
func (c *historyCommand) idBehind(ctx context.Context, server *instantd, log group, newest uint64, n int) (uint64, error) {
	var failure error
	i := sort.Search(int(newest), func(i int) bool {
		if failure != nil {
			return true
		}
		messages, err := server.operator.History(ctx, log.conversation, fmt.Sprint(i+1), 1)
		if err != nil {
			failure = err
		}
		return len(messages) == 1 && messages[0].Seq >= seqOf(n)
	})
	if failure != nil {
		return 0, fmt.Errorf("find message %d: %w", n, failure)
	}
	return uint64(i + 1), nil
}
