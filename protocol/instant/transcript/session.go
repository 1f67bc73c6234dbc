package transcript

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// open opens a session: "ws session [user[/class]] [?query]". The user - has no
// token.
func (s *stage) open(ctx context.Context, text string) error {
	name, rest := cut(s.names.expand(text))
	who, query := cut(rest)
	if who == "" {
		who = name
	}
	p, err := dial(ctx, "ws"+strings.TrimPrefix(s.server.URL, "http")+"/instant/ws"+query, s.token(who), s.server.Patience)
	if err != nil {
		return err
	}
	s.peers[name] = p
	return nil
}

// session does what a line says that begins with a session's name.
func (s *stage) session(ctx context.Context, p *peer, word, rest string) error {
	switch {
	case strings.HasSuffix(word, ">"):
		return p.write(ctx, s.names.expand(rest))
	case strings.HasSuffix(word, "<"):
		return s.expectFrame(p, word, rest)
	case rest == "quiet":
		lines, err := s.unasked(ctx, word, p)
		if err != nil {
			return err
		}
		return quiet(lines, word+" quiet")
	case rest == "leaves":
		delete(s.peers, word)
		return p.conn.CloseNow()
	case strings.HasPrefix(rest, "is closed with "):
		delete(s.peers, word)
		got := strconv.Itoa(int(p.closed()))
		if got != strings.TrimPrefix(rest, "is closed with ") {
			return &mismatch{fmt.Errorf("it was closed with %s", got), word + " is closed with " + got}
		}
		return nil
	}
	return fmt.Errorf("%q is nothing that a session does", rest)
}

// expectFrame compares the next frame of the stream that the pattern belongs to.
// Without a pattern it is any frame, to be recorded.
func (s *stage) expectFrame(p *peer, word, pattern string) error {
	stream := ""
	if pattern != "" {
		stream = streamOf([]byte(s.names.expand(pattern)))
	}
	frame, err := p.next(stream)
	if err != nil {
		return absent(fmt.Errorf("no frame like %s: %w", pattern, err))
	}
	if err := s.names.match([]byte(pattern), frame); err != nil {
		return &mismatch{
			fmt.Errorf("%w\n  want %s\n  got  %s", err, pattern, frame),
			s.recorder.line(word, pattern, frame),
		}
	}
	return nil
}

// absent tells what did not come from what broke while waiting for it.
func absent(err error) error {
	if errors.Is(err, errNothingCame) {
		return &mismatch{cause: err}
	}
	return err
}

// unasked are the lines of the frames that no line asked for.
func (s *stage) unasked(ctx context.Context, name string, p *peer) (lines []string, err error) {
	frames, err := p.rest(ctx)
	for _, frame := range frames {
		lines = append(lines, s.recorder.line(name+"<", "", frame))
	}
	return lines, err
}
