package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	askTimeout    = time.Minute // of everything but a backup
	maxAnswerSize = 64 << 20
)

// Client asks one server. It may be used by several goroutines.
type Client struct {
	base   string
	secret string
	http   http.Client
}

// New makes a client of the admin listener at addr: host:port, or a URL when
// the listener stands behind a proxy.
func New(addr, secret string) *Client {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	return &Client{base: strings.TrimRight(addr, "/"), secret: secret}
}

// Error is what the server answered instead of a result.
type Error struct {
	Status int
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("the server answered %d: %s", e.Status, e.Reason) }

// User returns an account.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	return get[User](ctx, c, PathUser, url.Values{"id": {id}})
}

// Conversation returns a conversation.
func (c *Client) Conversation(ctx context.Context, id string) (Conversation, error) {
	return get[Conversation](ctx, c, PathConversation, url.Values{"id": {id}})
}

// History returns messages of a conversation, newest first. An empty before
// starts at the newest; limit 0 is the server's default.
func (c *Client) History(ctx context.Context, id, before string, limit int) ([]Message, error) {
	query := url.Values{"id": {id}}
	if before != "" {
		query.Set("before", before)
	}
	if limit != 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return get[[]Message](ctx, c, PathHistory, query)
}

// Trace returns what became of a message or another committed event.
func (c *Client) Trace(ctx context.Context, id string) (Trace, error) {
	return get[Trace](ctx, c, PathTrace, url.Values{"id": {id}})
}

// Base gives the server one of the center's commands, such as user_import.
func (c *Client) Base(ctx context.Context, cmd string, data any) error {
	body, err := json.Marshal(struct {
		Cmd  string `json:"cmd"`
		Data any    `json:"data"`
	}{cmd, data})
	if err != nil {
		return fmt.Errorf("encode %s: %w", cmd, err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := c.ask(ctx, http.MethodPost, PathBase, nil, body)
	if err != nil {
		return err
	}
	return answer.Close()
}

// Backup writes a consistent copy of a running server's state to w and returns
// its size. An error means that what was written is of no use.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	answer, err := c.ask(ctx, http.MethodPost, PathBackup, nil, nil)
	if err != nil {
		return 0, err
	}
	defer answer.Close()
	n, err := io.Copy(w, answer)
	if err != nil {
		return n, fmt.Errorf("receive the backup: %w", err)
	}
	return n, nil
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var result T
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := c.ask(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return result, err
	}
	defer answer.Close()
	if err := json.NewDecoder(io.LimitReader(answer, maxAnswerSize)).Decode(&result); err != nil {
		return result, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return result, nil
}

// ask sends a signed request and returns the body of a 200; the caller closes it.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body []byte) (io.ReadCloser, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("address the server: %w", err)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	SignRequest(r, c.secret, time.Now())
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("reach the server: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var failure Failure
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if json.Unmarshal(text, &failure) != nil || failure.Reason == "" {
		failure.Reason = strings.TrimSpace(string(text))
	}
	return nil, &Error{Status: answer.StatusCode, Reason: failure.Reason}
}
