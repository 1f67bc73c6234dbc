package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"instantd/web"
)

// minSecretLength is what a secret needs outside development, in bytes.
const minSecretLength = 16

// exampleSecrets stand in public documents and in this repository. They work
// in development only, and development stays on loopback.
var exampleSecrets = []string{"123456"}

// Validate returns nil, or a ConfigError that lists everything that is missing
// or wrong and says how to set it.
func (c Config) Validate() error {
	v := &validation{}
	v.listener("http.addr", c.HTTP.Addr, true)
	v.listener("admin.addr", c.Admin.Addr, false)
	v.listener("ops.addr", c.Ops.Addr, false)
	v.secret(c)
	v.development(c)
	v.allowed("admin", c.Admin.Addr, c.Admin.Allow)
	v.allowed("ops", c.Ops.Addr, c.Ops.Allow)
	if _, err := web.ParseOrigins(c.HTTP.Origins); err != nil {
		v.problem("http.origins", "cannot be used: %v", err)
	}
	v.prefixes("http.proxies", c.HTTP.Proxies)
	v.prefixes("instant.broker_allow", c.Instant.BrokerAllow)
	v.tls(c.HTTP)
	v.amqp(c)
	v.limits(c)
	v.oneOf("instant.compat", c.Instant.Compat, "superset", "literal", "clean")
	v.oneOf("amqp.exchange_type", c.AMQP.ExchangeType, "topic", "direct")
	v.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	if _, err := c.LogLevel(); err != nil {
		v.problem("log.level", "must be debug, info, warn or error, not %q", c.Log.Level)
	}
	if _, err := time.LoadLocation(c.Timezone); err != nil || c.Timezone == "" {
		v.problem("timezone", "must be a name such as Asia/Shanghai or UTC, not %q", c.Timezone)
	}
	if c.Data.Dir == "" {
		v.problem("data.dir", "is missing: name the folder that keeps the state")
	}
	if len(v.problems) == 0 {
		return nil
	}
	slices.Sort(v.problems)
	return &ConfigError{Problems: v.problems}
}

// Location is the zone of times on the wire. Only for a valid Config.
func (c Config) Location() *time.Location {
	location, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return time.UTC
	}
	return location
}

// LogLevel is the least level that is logged.
func (c Config) LogLevel() (slog.Level, error) {
	var level slog.Level
	err := level.UnmarshalText([]byte(c.Log.Level))
	return level, err
}

// minMinFree is what the store may write after the last commit it took: a
// memtable, its flush, a compaction.
const minMinFree = Size(256 << 20)

type validation struct{ problems []string }

func (v *validation) problem(path, format string, args ...any) {
	envName := envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
	v.problems = append(v.problems, fmt.Sprintf("%s (%s) %s", path, envName, fmt.Sprintf(format, args...)))
}

func (v *validation) oneOf(path, value string, choices ...string) {
	if !slices.Contains(choices, value) {
		v.problem(path, "must be one of %s, not %q", strings.Join(choices, ", "), value)
	}
}

func (v *validation) listener(path, addr string, required bool) {
	if addr == "" && !required {
		return
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		v.problem(path, "must be host:port such as 127.0.0.1:8080, not %q", addr)
		return
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		v.problem(path, "must name an address of this machine, not the host %q", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		v.problem(path, "must end with a port from 0 to 65535, not %q", port)
	} else if n == 0 && !isLoopback(addr) {
		v.problem(path, "must name its port; 0 is for tests on loopback")
	}
}

func (v *validation) secret(c Config) {
	switch {
	case c.Admin.Addr == "":
	case c.Admin.Secret == "":
		v.problem("admin.secret", "is missing: set at least %d random characters, or turn the admin listener off with admin.addr: \"\"", minSecretLength)
	case c.Development:
	case slices.Contains(exampleSecrets, c.Admin.Secret):
		v.problem("admin.secret", "is the documents' example, which everybody knows: set at least %d random characters", minSecretLength)
	case len(c.Admin.Secret) < minSecretLength:
		v.problem("admin.secret", "is shorter than %d characters", minSecretLength)
	}
}

// development refuses the relaxed rules wherever others could reach them.
func (v *validation) development(c Config) {
	if !c.Development {
		return
	}
	for path, addr := range map[string]string{"http.addr": c.HTTP.Addr, "admin.addr": c.Admin.Addr, "ops.addr": c.Ops.Addr} {
		if addr != "" && !isLoopback(addr) {
			v.problem(path, "must be a loopback address while development is true, not %q", addr)
		}
	}
}

func (v *validation) allowed(group, addr string, allow []string) {
	v.prefixes(group+".allow", allow)
	if addr != "" && len(allow) == 0 && !isLoopback(addr) {
		v.problem(group+".allow", "is missing: %s.addr %q is open to others, so list the addresses or prefixes that may come, such as 10.0.0.0/8", group, addr)
	}
}

func (v *validation) prefixes(path string, list []string) {
	if _, err := web.ParsePrefixes(list); err != nil {
		v.problem(path, "has an entry that is wrong: %v", err)
	}
}

func (v *validation) tls(c HTTPConfig) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		v.problem("http.tls_cert", "and http.tls_key must be set together")
	}
}

func (v *validation) amqp(c Config) {
	v.brokerURL("amqp.url", c.AMQP.URL)
	v.brokerURL("amqp.public_url", c.AMQP.PublicURL)
	if c.AMQP.URL != "" && c.Instant.BrokerInfo && c.AMQP.PublicURL == "" {
		v.problem("amqp.public_url", "is missing: instant.broker_info tells it to clients, so it needs a broker user that may only read")
	}
}

func (v *validation) brokerURL(path, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "amqp" && u.Scheme != "amqps") || u.Hostname() == "" {
		v.problem(path, "must look like amqp://user:password@host:5672/vhost") // never the value: it holds a password
	}
}

func (v *validation) limits(c Config) {
	for path, n := range map[string]int{
		"http.max_connections":             c.HTTP.MaxConnections,
		"http.max_connections_per_address": c.HTTP.MaxConnectionsPerAddress,
		"http.rate":                        c.HTTP.Rate,
		"http.burst":                       c.HTTP.Burst,
		"http.frame_rate":                  c.HTTP.FrameRate,
	} {
		if n < 1 {
			v.problem(path, "must be at least 1, not %d", n)
		}
	}
	if c.Data.MinFree < minMinFree {
		v.problem("data.min_free", "must be at least %dMiB: the store needs that much to end what it has begun, and a full disk kills the process", minMinFree>>20)
	}
	if c.HTTP.MaxUpload < 1 {
		v.problem("http.max_upload", "must be at least one byte")
	}
	if c.HTTP.MaxUploadTotal < c.HTTP.MaxUpload {
		v.problem("http.max_upload_total", "must not be less than http.max_upload")
	}
	for path, d := range map[string]time.Duration{
		"drain": c.Drain, "amqp.queue_expires": c.AMQP.QueueExpires, "amqp.grace": c.AMQP.Grace,
	} {
		if d <= 0 {
			v.problem(path, "must be longer than nothing, not %s", d)
		}
	}
}

// isLoopback tells whether only this machine can reach an address.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
