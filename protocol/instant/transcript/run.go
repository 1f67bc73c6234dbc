package transcript

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Server is where a scenario is played.
type Server struct {
	URL         string // of the main listener, without a trailing slash
	AdminURL    string // of the admin listener
	AdminSecret string
	BrokerURL   string         // of its RabbitMQ, with a login that may do everything; empty when it has none
	Location    *time.Location // of the server's times; nil is Asia/Shanghai

	// Patience is how long a scenario waits for anything: longer means that it
	// will not come. 0 is ten seconds.
	Patience time.Duration

	// Update lets what the server answers replace what the files expect. Then it
	// is played again, so that nothing is left in it that no play would match.
	Update bool
}

// RunAll plays every *.txt of a folder, each as a subtest, one after another.
func RunAll(t *testing.T, server Server, folder string) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("%s holds no transcript", folder)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { Run(t, server, file) })
	}
}

// Run plays one scenario and fails at the first line that differs.
func Run(t testing.TB, server Server, file string) {
	t.Helper()
	if server.Location == nil {
		var err error
		if server.Location, err = time.LoadLocation("Asia/Shanghai"); err != nil {
			t.Fatal(err)
		}
	}
	if server.Patience == 0 {
		server.Patience = 10 * time.Second
	}
	plays := []play{compare}
	if server.Update {
		plays = []play{record, recordAgain, compare}
	}
	for _, play := range plays {
		if err := perform(server, file, play); err != nil {
			t.Fatal(err)
		}
	}
}

// play is what a scenario is played for.
type play int

const (
	compare     play = iota
	record           // a line that differs is rewritten instead of being an error
	recordAgain      // and what differs now, just recorded, is never the same
)

// perform plays a file once.
func perform(server Server, file string, play play) error {
	script, err := read(file)
	if err != nil {
		return err
	}
	recording, limit := play != compare, 6*server.Patience
	if recording {
		limit *= 10 // for every line that nothing comes for
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s := newStage(server)
	defer s.close()
	s.recorder.again = play == recordAgain
	var differs *mismatch
	for i := 0; i < len(script.statements); i++ {
		line, parts := script.statements[i], []string(nil)
		for i+1 < len(script.statements) && strings.HasPrefix(script.statements[i+1].text, "+ ") {
			i++
			parts = append(parts, script.statements[i].text[2:])
		}
		err := s.play(ctx, line.text, parts)
		if recording && errors.As(err, &differs) {
			script.replace(line, differs.recorded)
		} else if err != nil {
			return fmt.Errorf("%s:%d: %s\n%w", filepath.Base(file), line.first, line.text, err)
		}
	}
	err = s.end(ctx)
	if recording && errors.As(err, &differs) {
		script.lines = append(script.lines, differs.recorded)
	} else if err != nil {
		return fmt.Errorf("%s: at the end: %w", filepath.Base(file), err)
	}
	if !recording {
		return nil
	}
	return script.write(file)
}

// large is more than a message may hold.
var large = strings.Repeat("x", 70_000)

// stage is the state of one scenario.
type stage struct {
	server    Server
	names     names
	recorder  recorder
	tokens    map[string]string    // by "user class"
	peers     map[string]*peer     // by the name of the session
	consumers map[string]*consumer // by the name of the consumer
	broker    *broker              // nil until a line needs it
	last      answer
}

func newStage(server Server) *stage {
	known := names{"large": large}
	return &stage{
		server: server, names: known, recorder: recorder{names: known}, tokens: map[string]string{},
		peers: map[string]*peer{}, consumers: map[string]*consumer{},
	}
}

func (s *stage) close() {
	for _, p := range s.peers {
		p.conn.CloseNow()
	}
	if s.broker != nil {
		s.broker.conn.Close()
	}
}

func (s *stage) play(ctx context.Context, text string, parts []string) (err error) {
	s.tick()
	word, rest := cut(text)
	switch word {
	case "user":
		name, state := cut(rest)
		s.names[name] = newID()
		if state == "offline" {
			return nil
		}
		return s.login(ctx, name, "pc", true)
	case "login", "logout":
		name, class := cut(rest)
		return s.login(ctx, name, class, word == "login")
	case ">":
		s.last, err = s.request(ctx, rest, parts)
		return err
	case "<":
		return s.expectAnswer(rest)
	case "<:":
		return s.expectHeader(rest)
	case "<=":
		return s.expectBytes(rest)
	case "ws":
		return s.open(ctx, rest)
	case "amqp", "amqp-own":
		return s.consume(ctx, rest, word == "amqp-own")
	case "center>":
		return s.center(ctx, rest)
	}
	name := strings.TrimRight(word, "<>")
	if p, known := s.peers[name]; known {
		return s.session(ctx, p, word, rest)
	}
	if c, known := s.consumers[name]; known {
		return s.queue(ctx, c, word, rest)
	}
	return fmt.Errorf("%q is neither a statement nor a session nor a consumer", word)
}

// end looks for what came and no line asked for.
func (s *stage) end(ctx context.Context) error {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(s.peers)) {
		more, err := s.unasked(ctx, name, s.peers[name])
		if err != nil {
			return fmt.Errorf("session %s: %w", name, err)
		}
		lines = append(lines, more...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.consumers)) {
		more, err := s.unread(ctx, name, s.consumers[name])
		if err != nil {
			return fmt.Errorf("consumer %s: %w", name, err)
		}
		lines = append(lines, more...)
	}
	return quiet(lines)
}

// quiet is an error when there are lines that nobody asked for. They would have
// to stand before what else is given.
func quiet(lines []string, after ...string) error {
	if len(lines) == 0 {
		return nil
	}
	return &mismatch{
		fmt.Errorf("nobody asked for\n%s", strings.Join(lines, "\n")),
		strings.Join(append(lines, after...), "\n"),
	}
}

// tick keeps the names that stand for times. An hour is far enough from now
// to be on the safe side of every message of a scenario.
func (s *stage) tick() {
	now := time.Now().In(s.server.Location)
	s.names["past"] = now.Add(-time.Hour).Format("20060102150405")
	s.names["future"] = now.Add(time.Hour).Format("20060102150405")
}

// login lets the center say that a device class is online, or offline.
func (s *stage) login(ctx context.Context, name, class string, online bool) error {
	if class == "" {
		class = "pc"
	}
	key, state, number := name+" "+class, 0, map[string]int{"pc": 1, "app": 2}[class]
	if online {
		state, s.tokens[key] = 1, rand.Text()
	}
	_, err := s.ask(ctx, fmt.Sprintf(
		`admin POST /instant/base {"cmd":"user_status_update","data":[{"standard_id":%q,"online":%d,"type":%d,"token":%q}]}`,
		s.names[name], state, number, s.tokens[key]))
	return err
}

// newID is a 20-digit id that no other scenario has.
func newID() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1e10))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return fmt.Sprintf("3402000000%010d", n)
}
