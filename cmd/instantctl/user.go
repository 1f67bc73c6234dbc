package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"instantd/cmd/operator"
)

type userCommands struct {
	Import importCommand   `cmd:"" help:"Import users from a CSV or JSON file. Users that exist are updated."`
	Login  loginCommand    `cmd:"" help:"Log a user in and print the token."`
	Logout logoutCommand   `cmd:"" help:"Log a user out: the token of that device class is revoked."`
	Show   showUserCommand `cmd:"" help:"Show a user: profile, logins, queues, conversations, watermarks."`
}

// status is an entry of the center's user_status_update.
type status struct {
	ID       string `json:"standard_id"`
	Online   int    `json:"online"` // 0 or 1
	Platform string `json:"platform_id,omitempty"`
	Type     int    `json:"type"` // 1 pc, 2 app
	Token    string `json:"token,omitempty"`
}

var classTypes = map[string]int{"pc": 1, "app": 2}

type loginCommand struct {
	User     string `arg:"" help:"The user's standard_id."`
	Class    string `required:"" enum:"pc,app" help:"The device class: pc or app. Its former token is replaced."`
	Token    string `help:"The token to give; without it a random one of 128 bits."`
	Platform string `help:"The user's platform_id."`
}

// loggedIn is what login prints.
type loggedIn struct {
	User  string `json:"standard_id"`
	Class string `json:"class"`
	Token string `json:"token"`
}

func (c *loginCommand) Run(ctx context.Context, g *globals, out *output) error {
	client, err := g.client()
	if err != nil {
		return err
	}
	token := c.Token
	if token == "" {
		token = newToken()
	}
	entry := status{ID: c.User, Online: 1, Platform: c.Platform, Type: classTypes[c.Class], Token: token}
	if err := client.Base(ctx, "user_status_update", []status{entry}); err != nil {
		return fmt.Errorf("log in %s: %w", c.User, err)
	}
	return out.show(loggedIn{c.User, c.Class, token}, func(w io.Writer) { fmt.Fprintln(w, token) })
}

// newToken returns 128 random bits in hex.
func newToken() string {
	var bits [16]byte
	rand.Read(bits[:]) // never fails
	return hex.EncodeToString(bits[:])
}

type logoutCommand struct {
	User  string `arg:"" help:"The user's standard_id."`
	Class string `required:"" enum:"pc,app" help:"The device class: pc or app."`
}

func (c *logoutCommand) Run(ctx context.Context, g *globals, out *output) error {
	client, err := g.client()
	if err != nil {
		return err
	}
	entry := status{ID: c.User, Online: 0, Type: classTypes[c.Class]}
	if err := client.Base(ctx, "user_status_update", []status{entry}); err != nil {
		return fmt.Errorf("log out %s: %w", c.User, err)
	}
	return out.show(map[string]string{"standard_id": c.User, "class": c.Class}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is logged out on %s\n", c.User, c.Class)
	})
}

type showUserCommand struct {
	User string `arg:"" help:"The user's standard_id."`
}

func (c *showUserCommand) Run(ctx context.Context, g *globals, out *output) error {
	client, err := g.client()
	if err != nil {
		return err
	}
	user, err := client.User(ctx, c.User)
	if err != nil {
		return fmt.Errorf("show user %s: %w", c.User, err)
	}
	return out.show(user, func(w io.Writer) { printUser(w, user) })
}

func printUser(w io.Writer, u operator.User) {
	line(w, "user", "%s (number %d)", u.ID, u.Number)
	line(w, "name", "%s", orDash(u.Name))
	line(w, "sex", "%s", u.Sex)
	line(w, "platform", "%s", orDash(u.Platform))
	line(w, "created", "%s", timeText(u.Created))
	if u.Stub {
		line(w, "imported", "no, only named by others")
	}
	if u.Deleted {
		line(w, "deleted", "yes")
	}
	line(w, "online", "%s", yesNo(u.Online))
	if u.OfflineSince != nil {
		line(w, "offline since", "%s", timeText(*u.OfflineSince))
	}
	for _, l := range u.Logins {
		line(w, "login", "%s since %s, access %s", l.Class, timeText(l.Since), yesNo(l.Access))
	}
	for _, q := range u.Queues {
		by := "the server"
		if q.Declared {
			by = "the client"
		}
		line(w, "queue", "%s of %s, declared by %s", q.Name, orDash(q.Class), by)
	}
	if len(u.Conversations) == 0 {
		return
	}
	fmt.Fprintln(w, "\nCONVERSATION\tTYPE\tNAME\tMEMBERS\tHEAD\tDELIVERED\tREAD")
	for _, s := range u.Conversations {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%d\n",
			s.Conversation, s.Kind, orDash(s.Name), s.Members, s.Head, deliveredText(s.Delivered), s.Read)
	}
}

func deliveredText(delivered map[string]uint64) string {
	var parts []string
	for _, class := range slices.Sorted(maps.Keys(delivered)) {
		parts = append(parts, fmt.Sprintf("%s %d", class, delivered[class]))
	}
	return orDash(strings.Join(parts, ", "))
}
