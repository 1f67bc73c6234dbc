//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"instantd/cmd/operator"
)

// serverFlags say which server is measured.
type serverFlags struct {
	Server     string `default:"bin/instantd" placeholder:"BINARY" help:"The server to start on free loopback ports with a temporary data folder. Default ${default}."`
	Config     string `default:"configs/dev.yaml" placeholder:"FILE" help:"Its configuration; the empty string is none. Default ${default}."`
	DataParent string `placeholder:"DIR" help:"Where its data folder is made. Default is the system's folder for temporary files; beware of memory file systems, which have no sync."`
	URL        string `name:"url" help:"Use a running server instead, at http://127.0.0.1:8080. Raise its http.rate and http.max_connections_per_address."`
	Admin      string `help:"The running server's admin listener, http://127.0.0.1:18080."`
	Ops        string `help:"The running server's ops listener, for --cpu-profile."`
	Secret     string `env:"INSTANTD_ADMIN_SECRET" help:"The running server's admin secret."`
	PID        int    `name:"pid" help:"The running server's process, to take its CPU time."`
}

// instantd is the server of this module.
type instantd struct {
	at       netip.AddrPort
	ops      string // URL, empty when not known
	operator *operator.Client
	client   http.Client
	process  *process // nil when it runs by itself
	dir      string   // of a child's data
	number   int      // of the process, 0 when not known

	users []string     // that were logged in here
	sweep func() error // takes from the broker what the server left there; nil when it has none
}

// startInstantd starts the server, or takes the running one. environ is settings
// of a child that are not the usual ones.
func startInstantd(f serverFlags, environ ...string) (*instantd, error) {
	if f.URL != "" {
		return runningInstantd(f)
	}
	dir, err := os.MkdirTemp(f.DataParent, "instantbench-")
	if err != nil {
		return nil, fmt.Errorf("make a data folder: %w", err)
	}
	var args []string
	if f.Config != "" {
		args = []string{"-config", f.Config}
	}
	secret := rand.Text()
	child, err := startProcess("instantd", f.Server, args, append([]string{
		"INSTANTD_DATA_DIR=" + dir, "INSTANTD_ADMIN_SECRET=" + secret,
		"INSTANTD_HTTP_ADDR=127.0.0.1:0", "INSTANTD_ADMIN_ADDR=127.0.0.1:0", "INSTANTD_OPS_ADDR=127.0.0.1:0",
		"INSTANTD_AMQP_URL=", "INSTANTD_AMQP_PUBLIC_URL=", "INSTANTD_LOG_LEVEL=warn",
		// One address is the whole world here.
		"INSTANTD_HTTP_RATE=1000000000", "INSTANTD_HTTP_BURST=1000000000", "INSTANTD_HTTP_MAX_CONNECTIONS_PER_ADDRESS=50000",
	}, environ...))
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	s := &instantd{process: child, dir: dir, number: child.command.Process.Pid, ops: child.addresses["ops"]}
	s.at, err = addressOf(child.addresses["clients"])
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	admin := strings.TrimSuffix(child.addresses["admin"], operator.PathBase)
	s.operator, s.client = operator.New(admin, secret), newClient()
	return s, nil
}

func runningInstantd(f serverFlags) (*instantd, error) {
	at, err := addressOf(f.URL)
	if err != nil {
		return nil, err
	}
	if _, err := addressOf(f.Admin); err != nil {
		return nil, fmt.Errorf("--url needs --admin: %w", err)
	}
	if f.Secret == "" {
		return nil, errors.New("--url needs INSTANTD_ADMIN_SECRET")
	}
	return &instantd{at: at, ops: f.Ops, operator: operator.New(f.Admin, f.Secret), client: newClient(), number: f.PID}, nil
}

// newClient keeps as many connections as there are requests at once.
func newClient() http.Client {
	return http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: dialers}}
}

func (s *instantd) name() string         { return "instantd" }
func (s *instantd) addr() netip.AddrPort { return s.at }
func (s *instantd) pid() int             { return s.number }

// loginBatch is how many users one command of the center names.
const loginBatch = 500

// login makes new users and returns their tokens.
func (s *instantd) login(ctx context.Context, n int) (users, tokens []string, err error) {
	type status struct {
		User   string `json:"standard_id"`
		Online int    `json:"online"`
		Type   int    `json:"type"`
		Token  string `json:"token"`
	}
	prefix := "bench-" + rand.Text()[:8]
	all := make([]status, n)
	for i := range all {
		all[i] = status{User: fmt.Sprintf("%s-%05d", prefix, i), Online: 1, Type: 1, Token: rand.Text()}
		users, tokens = append(users, all[i].User), append(tokens, all[i].Token)
	}
	s.users = append(s.users, users...)
	for batch := range slices.Chunk(all, loginBatch) {
		if err := s.operator.Base(ctx, "user_status_update", batch); err != nil {
			return nil, nil, fmt.Errorf("log in %d users: %w", len(batch), err)
		}
	}
	return users, tokens, nil
}

func (s *instantd) group(ctx context.Context, members int) (group, error) {
	users, tokens, err := s.login(ctx, members)
	if err != nil {
		return group{}, err
	}
	id, err := s.create(ctx, tokens[0], users)
	if err != nil {
		return group{}, err
	}
	return group{conversation: id, tokens: tokens}, nil
}

// rooms makes n users who have a group each, alone.
func (s *instantd) rooms(ctx context.Context, n int) ([]group, error) {
	users, tokens, err := s.login(ctx, n)
	if err != nil {
		return nil, err
	}
	groups := make([]group, n)
	err = forEach(ctx, n, func(i int) error {
		id, err := s.create(ctx, tokens[i], users[i:i+1])
		groups[i] = group{conversation: id, tokens: tokens[i : i+1]}
		return err
	})
	return groups, err
}

// community implements town.
func (s *instantd) community(ctx context.Context, users int, memberships [][]int) (*community, error) {
	names, tokens, err := s.login(ctx, users)
	if err != nil {
		return nil, err
	}
	rooms := make([]*room, len(memberships))
	err = forEach(ctx, len(rooms), func(i int) error {
		members := make([]string, len(memberships[i]))
		for j, user := range memberships[i] {
			members[j] = names[user]
		}
		id, err := s.create(ctx, tokens[memberships[i][0]], members)
		rooms[i] = &room{conversation: id, members: memberships[i]}
		return err
	})
	if err != nil {
		return nil, err
	}
	return newCommunity(tokens, rooms, instantDialect{}), nil
}

// create makes a group of users, in the name of the first.
func (s *instantd) create(ctx context.Context, token string, users []string) (string, error) {
	type person struct {
		ID string `json:"standard_id"`
	}
	persons := make([]person, len(users))
	for i, user := range users {
		persons[i].ID = user
	}
	body, err := json.Marshal(map[string]any{"action": "create", "type": "group", "name": "bench", "persons": persons})
	if err != nil {
		return "", fmt.Errorf("encode group: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.at.String()+"/instant/c_conversation", strings.NewReader(string(body)))
	if err != nil {
		return "", fmt.Errorf("create group: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("x-token", token)
	response, err := s.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("create group: %w", err)
	}
	defer response.Body.Close()
	var created struct {
		Reason string `json:"reason"`
		Data   struct {
			ID string `json:"conversation_id"`
		} `json:"data"`
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(text, &created)
	}
	if err != nil || created.Data.ID == "" {
		return "", fmt.Errorf("create group: the server answered %d %s: %w", response.StatusCode, created.Reason, err)
	}
	return created.Data.ID, nil
}

// head is how many messages and notices a conversation has.
func (s *instantd) head(ctx context.Context, conversation string) (int, error) {
	c, err := s.operator.Conversation(ctx, conversation)
	return int(c.Head), err
}

// profile takes a CPU profile for so long.
func (s *instantd) profile(ctx context.Context, path string, d time.Duration) error {
	if s.ops == "" {
		return errors.New("the ops listener is not known")
	}
	ops := strings.TrimSuffix(s.ops, "/readyz")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", ops, max(1, int(d.Seconds()))), nil)
	if err != nil {
		return fmt.Errorf("profile the server: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("profile the server: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("profile the server: it answered %s", response.Status)
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("profile the server: %w", err)
	}
	_, err = io.Copy(file, response.Body)
	return errors.Join(err, file.Close())
}

// close ends a child and removes its data; on a running server it deletes the
// users that it made.
func (s *instantd) close() error {
	if s.process != nil {
		err := errors.Join(s.process.stop(), os.RemoveAll(s.dir))
		if s.sweep != nil {
			err = errors.Join(err, s.sweep())
		}
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	type user struct {
		ID string `json:"standard_id"`
	}
	for batch := range slices.Chunk(s.users, loginBatch) {
		gone := make([]user, len(batch))
		for i, id := range batch {
			gone[i].ID = id
		}
		if err := s.operator.Base(ctx, "user_delete", gone); err != nil {
			return fmt.Errorf("delete the users of the run: %w", err)
		}
	}
	return nil
}
