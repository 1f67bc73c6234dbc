package transcript

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

var errNothingCame = errors.New("nothing more came")

// peer is one open WebSocket session.
type peer struct {
	conn     *websocket.Conn
	patience time.Duration
	frames   chan []byte
	ended    error    // why frames was closed
	pending  [][]byte // read, not yet asked for
	pings    int
}

func dial(ctx context.Context, url, token string, patience time.Duration) (*peer, error) {
	header := http.Header{}
	if token != "" {
		header.Set("X-Token", "Tricolor<"+token+">")
	}
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(4 << 20)
	p := &peer{conn: conn, patience: patience, frames: make(chan []byte)}
	go p.listen(ctx) // ends with the connection or ctx
	return p, nil
}

// listen reads apart from those who wait: a wait that is given up would
// otherwise end the connection.
func (p *peer) listen(ctx context.Context) {
	defer close(p.frames)
	for {
		_, frame, err := p.conn.Read(ctx)
		if err != nil {
			p.ended = err
			return
		}
		if markOf(frame) != "" {
			continue
		}
		select {
		case p.frames <- frame:
		case <-ctx.Done():
			p.ended = ctx.Err()
			return
		}
	}
}

func (p *peer) write(ctx context.Context, text string) error {
	return p.conn.Write(ctx, websocket.MessageText, []byte(text))
}

func (p *peer) read() ([]byte, error) {
	timeout := time.NewTimer(p.patience)
	defer timeout.Stop()
	select {
	case frame, open := <-p.frames:
		if !open {
			return nil, p.ended
		}
		return frame, nil
	case <-timeout.C:
		return nil, errNothingCame
	}
}

// next takes the next frame of a stream, or of any when it is empty. A stream is
// what has an order: the frames of one conversation, or those of no conversation
// with the same cmd.
func (p *peer) next(stream string) ([]byte, error) {
	for i := 0; ; i++ {
		if i == len(p.pending) {
			frame, err := p.read()
			if err != nil {
				return nil, fmt.Errorf("%w; others: %s", err, p.pending)
			}
			p.pending = append(p.pending, frame)
		}
		if frame := p.pending[i]; stream == "" || streamOf(frame) == stream {
			p.pending = append(p.pending[:i], p.pending[i+1:]...)
			return frame, nil
		}
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

// rest takes what came and was not asked for. The answer to a ping comes after
// everything before it.
func (p *peer) rest(ctx context.Context) ([][]byte, error) {
	p.pings++
	ping := fmt.Sprintf(`"quiet-%d"`, p.pings)
	if err := p.write(ctx, `{"cmd":"ping","ref":`+ping+`}`); err != nil {
		return nil, err
	}
	for {
		frame, err := p.read()
		if err != nil {
			return nil, err
		}
		if streamOf(frame) == "reply "+ping {
			break
		}
		p.pending = append(p.pending, frame)
	}
	rest := p.pending
	p.pending = nil
	return rest, nil
}

// closed waits for the end of the session and returns its close code.
func (p *peer) closed() websocket.StatusCode {
	for {
		frame, err := p.read()
		if err != nil {
			return websocket.CloseStatus(err)
		}
		p.pending = append(p.pending, frame)
	}
}
