package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"instantd/cmd/operator"
)

type conversationCommands struct {
	Show showConversationCommand `cmd:"" help:"Show a conversation and its members."`
}

type showConversationCommand struct {
	ID string `arg:"" help:"The conversation_id."`
}

func (c *showConversationCommand) Run(ctx context.Context, g *globals, out *output) error {
	client, err := g.client()
	if err != nil {
		return err
	}
	conversation, err := client.Conversation(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("show conversation %s: %w", c.ID, err)
	}
	return out.show(conversation, func(w io.Writer) { printConversation(w, conversation) })
}

func printConversation(w io.Writer, c operator.Conversation) {
	line(w, "conversation", "%s", c.ID)
	line(w, "type", "%s", c.Kind)
	line(w, "name", "%s", orDash(c.Name))
	line(w, "owner", "%s", orDash(c.Owner))
	line(w, "creator", "%s", orDash(c.Creator))
	line(w, "created", "%s", timeText(c.Created))
	if c.Ended != nil {
		line(w, "dissolved", "%s", timeText(*c.Ended))
	}
	line(w, "head", "%d", c.Head)
	if len(c.Members) == 0 {
		return
	}
	fmt.Fprintln(w, "\nMEMBER\tNUMBER\tSINCE SEQ\tJOINED")
	for _, m := range c.Members {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", m.ID, m.Number, m.Since, timeText(m.Joined))
	}
}

type historyCommand struct {
	ID     string `arg:"" help:"The conversation_id."`
	Limit  int    `default:"20" help:"At most this many messages, 200 at most."`
	Before string `help:"Only messages before this message id."`
}

func (c *historyCommand) Run(ctx context.Context, g *globals, out *output) error {
	client, err := g.client()
	if err != nil {
		return err
	}
	messages, err := client.History(ctx, c.ID, c.Before, c.Limit)
	if err != nil {
		return fmt.Errorf("history of %s: %w", c.ID, err)
	}
	return out.show(messages, func(w io.Writer) {
		fmt.Fprintln(w, "ID\tSEQ\tSENT\tSENDER\tSTATE\tCONTENT")
		for _, m := range messages {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", m.ID, m.Seq, timeText(m.Sent), m.Sender, m.State, contentText(m.Content))
		}
	})
}

// contentText renders content in one line.
func contentText(parts []operator.Part) string {
	var texts []string
	for _, p := range parts {
		switch {
		case p.Text != "":
			texts = append(texts, fmt.Sprintf("%q", p.Text))
		case p.Name != "":
			texts = append(texts, fmt.Sprintf("[%s %s, %d bytes]", p.Kind, p.Name, p.Size))
		default:
			texts = append(texts, "["+p.Kind+"]")
		}
	}
	return orDash(strings.Join(texts, " "))
}

type traceCommand struct {
	ID string `arg:"" help:"The id of a message or of another event."`
}

func (c *traceCommand) Run(ctx context.Context, g *globals, out *output) error {
	client, err := g.client()
	if err != nil {
		return err
	}
	trace, err := client.Trace(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("trace %s: %w", c.ID, err)
	}
	return out.show(trace, func(w io.Writer) { printTrace(w, trace) })
}

func printTrace(w io.Writer, t operator.Trace) {
	line(w, "id", "%s", t.ID)
	line(w, "event", "%s", t.Event)
	line(w, "of", "%s", t.Actor)
	if t.Seq > 0 {
		line(w, "seq", "%d", t.Seq)
	}
	line(w, "committed", "%s", timeText(t.Committed))
	line(w, "amqp", "%s", t.AMQP)
	if len(t.Receipts) == 0 {
		return
	}
	fmt.Fprintln(w, "\nRECEIVER\tDELIVERED\tREAD")
	for _, r := range t.Receipts {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.User, orDash(strings.Join(r.Delivered, ", ")), yesNo(r.Read))
	}
	if t.More > 0 {
		fmt.Fprintf(w, "and %d more\n", t.More)
	}
}
