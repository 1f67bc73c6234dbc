package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"instantd/cmd/operator"
)

const defaultAdmin = "127.0.0.1:18080"

// globals say where the server is. A flag wins over the environment, and that
// over the server's configuration file.
type globals struct {
	Config string `short:"c" placeholder:"FILE" help:"The server's configuration file: admin.addr, admin.secret and data.dir are taken from it."`
	Admin  string `env:"INSTANTD_ADMIN_ADDR" placeholder:"ADDR" help:"The server's admin listener, host:port or a URL. Default 127.0.0.1:18080."`
	Secret string `env:"INSTANTD_ADMIN_SECRET" placeholder:"SECRET" help:"The secret of the admin listener. Others can see flags; better use the environment."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// client returns the client of the server.
func (g *globals) client() (*operator.Client, error) {
	config, err := g.load()
	if err != nil {
		return nil, err
	}
	addr := first(g.Admin, config.String("admin.addr"), defaultAdmin)
	secret := first(g.Secret, config.String("admin.secret"))
	if secret == "" {
		return nil, errors.New("no secret: set INSTANTD_ADMIN_SECRET, or name the server's configuration with --config")
	}
	addr, err = reachable(addr)
	if err != nil {
		return nil, err
	}
	return operator.New(addr, secret), nil
}

// dataDir returns the data folder of the server.
func (g *globals) dataDir(flag string) (string, error) {
	config, err := g.load()
	if err != nil {
		return "", err
	}
	dir := first(flag, config.String("data.dir"))
	if dir == "" {
		return "", errors.New("no data folder: name it with --data, or the server's configuration with --config")
	}
	return dir, nil
}

// load reads the configuration file, if there is one. The server checks it;
// here only three keys matter.
func (g *globals) load() (*koanf.Koanf, error) {
	config := koanf.New(".")
	if g.Config == "" {
		return config, nil
	}
	if err := config.Load(file.Provider(g.Config), yaml.Parser()); err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", g.Config, err)
	}
	return config, nil
}

// reachable turns an address to listen on into one to connect to: all
// addresses become loopback.
func reachable(addr string) (string, error) {
	if strings.Contains(addr, "://") {
		u, err := url.Parse(addr)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return "", fmt.Errorf("the admin address %q is not a URL such as https://host:port", addr)
		}
		return addr, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return "", fmt.Errorf("the admin address %q is not host:port", addr)
	}
	ip, err := netip.ParseAddr(host)
	if host == "" || (err == nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
		if err == nil && ip.Is6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port), nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
