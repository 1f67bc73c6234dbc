package transcript

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coder/websocket"
)

// patience bounds every wait of a scenario: longer means that it will not come.
const patience = 10 * time.Second

// peer is one open WebSocket session.
type peer struct {
	conn    *websocket.Conn
	pending [][]byte // read, not yet asked for
	pings   int
}

func dial(ctx context.Context, url, token string) (*peer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPHeader: map[string][]string{"X-Token": {"Tricolor<" + token + ">"}},
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(4 << 20)
	return &peer{conn: conn}, nil
}

func (p *peer) write(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.conn.Write(ctx, websocket.MessageText, []byte(text))
}

func (p *peer) read(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, frame, err := p.conn.Read(ctx)
	return frame, err
}

// expect takes the next frame of the pattern's stream and compares it. A
// stream is what has an order: the frames of one conversation, or those of no
// conversation with the same cmd.
func (p *peer) expect(ctx context.Context, n names, pattern string) error {
	wanted := streamOf([]byte(n.expand(pattern)))
	for i := 0; ; i++ {
		if i == len(p.pending) {
			frame, err := p.read(ctx)
			if err != nil {
				return fmt.Errorf("no frame like %s came: %w; others: %s", pattern, err, p.pending)
			}
			p.pending = append(p.pending, frame)
		}
		if streamOf(p.pending[i]) != wanted {
			continue
		}
		if err := n.match([]byte(pattern), p.pending[i]); err != nil {
			return fmt.Errorf("%w\n  want %s\n  got  %s", err, pattern, p.pending[i])
		}
		p.pending = append(p.pending[:i], p.pending[i+1:]...)
		return nil
	}
}

func streamOf(frame []byte) string {
	var f struct {
		Cmd  string          `json:"cmd"`
		Ref  json.RawMessage `json:"ref"`
		Data struct {
			Conversation string `json:"conversation_id"`
		} `json:"data"`
	}
	json.Unmarshal(frame, &f) // what does not fit has no conversation
	if f.Cmd == "reply" {
		return "reply " + string(f.Ref)
	}
	if f.Data.Conversation != "" {
		return "conversation " + f.Data.Conversation
	}
	return "cmd " + f.Cmd
}

// quiet tells whether nothing came that was not asked for. The answer to a
// ping comes after everything before it.
func (p *peer) quiet(ctx context.Context) error {
	p.pings++
	ping := fmt.Sprintf(`"quiet-%d"`, p.pings)
	if err := p.write(ctx, `{"cmd":"ping","ref":`+ping+`}`); err != nil {
		return err
	}
	for {
		frame, err := p.read(ctx)
		if err != nil {
			return err
		}
		if streamOf(frame) == "reply "+ping {
			break
		}
		p.pending = append(p.pending, frame)
	}
	if len(p.pending) > 0 {
		return fmt.Errorf("frames that nobody asked for: %s", p.pending)
	}
	return nil
}

// closed waits for the end of the session and returns its close code.
func (p *peer) closed(ctx context.Context) websocket.StatusCode {
	for {
		frame, err := p.read(ctx)
		if err != nil {
			return websocket.CloseStatus(err)
		}
		p.pending = append(p.pending, frame)
	}
}
