package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

const (
	devConfig        = "../../configs/dev.yaml"
	productionConfig = "../../configs/instantd.yaml"
	goodSecret       = "0f47ab0f9a4c4f6b8f63"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "instantd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEnvironmentNames(t *testing.T) {
	t.Parallel()
	var config Config
	env := map[string]string{}
	for _, k := range keysOf(&config) {
		if other, taken := env[k.env]; taken {
			t.Errorf("%s and %s share the name %s", other, k.path, k.env)
		}
		env[k.env] = k.path
	}
	// The names that tools and operators rely on.
	for name, path := range map[string]string{
		"INSTANTD_HTTP_ADDR":    "http.addr",
		"INSTANTD_ADMIN_ADDR":   "admin.addr",
		"INSTANTD_OPS_ADDR":     "ops.addr",
		"INSTANTD_DATA_DIR":     "data.dir",
		"INSTANTD_AMQP_URL":     "amqp.url",
		"INSTANTD_ADMIN_SECRET": "admin.secret",
		"INSTANTD_TIMEZONE":     "timezone",
	} {
		if env[name] != path {
			t.Errorf("%s sets %q, want %q", name, env[name], path)
		}
	}
}

func TestLoadConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		file    string
		environ []string
		want    func(*Config)
	}{
		{"an empty file is the defaults", "", nil, func(*Config) {}},
		{"a file sets keys", "http:\n  addr: 127.0.0.1:81\n  tls_cert: a.pem\ntimezone: UTC\n", nil,
			func(c *Config) { c.HTTP.Addr, c.HTTP.TLSCert, c.Timezone = "127.0.0.1:81", "a.pem", "UTC" }},
		{"the environment wins over the file", "http:\n  addr: 127.0.0.1:81\n", []string{"INSTANTD_HTTP_ADDR=127.0.0.1:82"},
			func(c *Config) { c.HTTP.Addr = "127.0.0.1:82" }},
		{"an empty variable turns off", "", []string{"INSTANTD_OPS_ADDR="},
			func(c *Config) { c.Ops.Addr = "" }},
		{"a key with an underscore is not a group", "", []string{"INSTANTD_DATA_MIN_FREE=1GiB", "INSTANTD_HTTP_MAX_CONNECTIONS_PER_ADDRESS=7"},
			func(c *Config) { c.Data.MinFree, c.HTTP.MaxConnectionsPerAddress = 1<<30, 7 }},
		{"a list in the environment has commas", "", []string{"INSTANTD_ADMIN_ALLOW=10.0.0.0/8, 127.0.0.1"},
			func(c *Config) { c.Admin.Allow = []string{"10.0.0.0/8", "127.0.0.1"} }},
		{"a list in the file is a list", "admin:\n  allow: [10.0.0.0/8, \"::1\"]\n", nil,
			func(c *Config) { c.Admin.Allow = []string{"10.0.0.0/8", "::1"} }},
		{"durations and sizes have units", "drain: 90s\nhttp:\n  max_upload: 2MB\n", nil,
			func(c *Config) { c.Drain, c.HTTP.MaxUpload = 90*time.Second, 2_000_000 }},
		{"a size in bytes needs no unit", "http:\n  max_upload: 4096\n", nil,
			func(c *Config) { c.HTTP.MaxUpload = 4096 }},
		{"a heading without keys is harmless", "amqp:\n", nil, func(*Config) {}},
		{"other variables are not ours", "", []string{"HOME=/x", "INSTANT_ADDR=1", "broken"}, func(*Config) {}},
		{"truth in the environment", "", []string{"INSTANTD_DEVELOPMENT=true"},
			func(c *Config) { c.Development = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := LoadConfig(writeConfig(t, tt.file), tt.environ)
			if err != nil {
				t.Fatal(err)
			}
			want := DefaultConfig()
			tt.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("file %q, environment %q (-want +got):\n%s", tt.file, tt.environ, diff)
			}
		})
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		file    string
		environ []string
		want    []string
	}{
		{"an unknown key names the nearest", "htpp:\n  addr: x\n", nil, []string{"htpp.addr is not a key", "nearest is http.addr"}},
		{"an unknown key inside a group", "admin:\n  secrets: \"x\"\n", nil, []string{"admin.secrets", "nearest is admin.secret"}},
		{"an unknown variable names the nearest", "", []string{"INSTANTD_DATADIR=x"}, []string{"INSTANTD_DATADIR in the environment", "nearest is INSTANTD_DATA_DIR"}},
		{"a group that is given a value", "http: 127.0.0.1:80\n", nil, []string{"http is not a key", "nearest"}},
		{"text for a number", "http:\n  rate: fast\n", nil, []string{"http.rate (INSTANTD_HTTP_RATE)", "whole number"}},
		{"a fraction for a number", "http:\n  rate: 1.5\n", nil, []string{"http.rate", "whole number"}},
		{"a duration without a unit", "drain: 30\n", nil, []string{"drain (INSTANTD_DRAIN)", "unit"}},
		{"a negative size", "", []string{"INSTANTD_DATA_MIN_FREE=-1"}, []string{"data.min_free", "size such as"}},
		{"a size beyond all disks", "", []string{"INSTANTD_DATA_MIN_FREE=9000000000TiB"}, []string{"data.min_free"}},
		{"a secret that YAML took for a number", "admin:\n  secret: 0123456\n", nil, []string{"admin.secret", "quotes"}},
		{"a list inside a list", "admin:\n  allow: [[a]]\n", nil, []string{"admin.allow", "entry"}},
		{"maybe is not true", "development: maybe\n", nil, []string{"development", "true or false"}},
		{"a key twice", "drain: 1s\ndrain: 2s\n", nil, []string{"drain", "already"}},
		{"broken YAML", "http: [\n", nil, []string{"read configuration", "instantd.yaml"}},
		{"everything wrong is listed at once", "a: 1\nb: 2\n", []string{"INSTANTD_C=3"}, []string{"a is not", "b is not", "INSTANTD_C"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadConfig(writeConfig(t, tt.file), tt.environ)
			wantMentions(t, err, tt.want...)
		})
	}
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "none.yaml"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: got %v, want os.ErrNotExist", err)
	}
}

func wantMentions(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one that mentions %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not mention %q:\n%v", part, err)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Config)
		want   []string // nothing means valid
	}{
		{"the defaults and a secret", func(*Config) {}, nil},
		{"no secret", func(c *Config) { c.Admin.Secret = "" }, []string{"admin.secret (INSTANTD_ADMIN_SECRET) is missing"}},
		{"no secret without an admin listener", func(c *Config) { c.Admin.Secret, c.Admin.Addr = "", "" }, nil},
		{"the example secret", func(c *Config) { c.Admin.Secret = "123456" }, []string{"admin.secret", "example"}},
		{"the example secret in development", func(c *Config) { c.Admin.Secret, c.Development = "123456", true }, nil},
		{"development beyond loopback", func(c *Config) {
			c.Admin.Secret, c.Development, c.HTTP.Addr = "123456", true, "0.0.0.0:8080"
		}, []string{"http.addr", "loopback"}},
		{"a short secret", func(c *Config) { c.Admin.Secret = "short" }, []string{"admin.secret", "shorter"}},
		{"admin open to others without a list", func(c *Config) { c.Admin.Addr = ":18080" }, []string{"admin.allow (INSTANTD_ADMIN_ALLOW) is missing"}},
		{"admin open to others with a list", func(c *Config) { c.Admin.Addr, c.Admin.Allow = "10.1.2.3:18080", []string{"10.0.0.0/8"} }, nil},
		{"ops open to others without a list", func(c *Config) { c.Ops.Addr = "[::]:9090" }, []string{"ops.allow"}},
		{"IPv6 loopback is loopback", func(c *Config) { c.Ops.Addr = "[::1]:9090" }, nil},
		{"a list that is no list of addresses", func(c *Config) { c.Admin.Allow = []string{"intranet"} }, []string{"admin.allow", "intranet"}},
		{"the client listener cannot be off", func(c *Config) { c.HTTP.Addr = "" }, []string{"http.addr"}},
		{"an address without a port", func(c *Config) { c.HTTP.Addr = "127.0.0.1" }, []string{"http.addr", "host:port"}},
		{"a port that is none", func(c *Config) { c.HTTP.Addr = "127.0.0.1:http" }, []string{"http.addr", "port"}},
		{"port 0 on all addresses", func(c *Config) { c.HTTP.Addr = ":0" }, []string{"http.addr"}},
		{"a certificate without its key", func(c *Config) { c.HTTP.TLSCert = "a.pem" }, []string{"http.tls_key"}},
		{"a broker of another protocol", func(c *Config) { c.AMQP.URL = "http://u:hidden@host/" }, []string{"amqp.url", "amqp://"}},
		{"a broker over TLS", func(c *Config) { c.AMQP.URL = "amqps://u:p@host/" }, nil},
		{"clients are told of a broker without its public address", func(c *Config) {
			c.AMQP.URL, c.Instant.BrokerInfo = "amqp://u:hidden@host/", true
		}, []string{"amqp.public_url", "only read"}},
		{"a public address that is none", func(c *Config) { c.AMQP.PublicURL = "u:hidden@host" }, []string{"amqp.public_url", "amqp://"}},
		{"a zone that nobody knows", func(c *Config) { c.Timezone = "Mars/Olympus" }, []string{"timezone", "Mars"}},
		{"a spelling that nobody knows", func(c *Config) { c.Instant.Compat = "strict" }, []string{"instant.compat", "superset"}},
		{"a rate of nothing", func(c *Config) { c.HTTP.Rate = 0 }, []string{"http.rate"}},
		{"no time to drain", func(c *Config) { c.Drain = 0 }, []string{"drain"}},
		{"a level that nobody knows", func(c *Config) { c.Log.Level = "loud" }, []string{"log.level"}},
		{"no folder", func(c *Config) { c.Data.Dir = "" }, []string{"data.dir"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			config := DefaultConfig()
			config.Admin.Secret = goodSecret
			tt.change(&config)
			err := config.Validate()
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantMentions(t, err, tt.want...)
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

func TestDevelopmentConfigRuns(t *testing.T) {
	t.Parallel()
	config, err := LoadConfig(devConfig, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	if !config.Development || config.Admin.Secret != "123456" || config.AMQP.URL == "" {
		t.Errorf("got %+v, want the documents' examples", config)
	}
}

func TestProductionConfigNeedsOnlyItsSecret(t *testing.T) {
	t.Parallel()
	config, err := LoadConfig(productionConfig, nil)
	if err != nil {
		t.Fatal(err)
	}
	var invalid *ConfigError
	if err := config.Validate(); !errors.As(err, &invalid) || len(invalid.Problems) != 1 {
		t.Fatalf("got %v, want exactly the missing secret", err)
	}
	wantMentions(t, invalid, "admin.secret", "INSTANTD_ADMIN_SECRET", "missing")

	config, err = LoadConfig(productionConfig, []string{"INSTANTD_ADMIN_SECRET=" + goodSecret})
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(); err != nil {
		t.Errorf("with the secret: %v", err)
	}
}

var commentedKey = regexp.MustCompile(`(?m)^( *)#  (\w+:)`)

// The production file shows every key. Uncommented, it is still the defaults,
// but for the folder.
func TestProductionConfigShowsEveryKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(productionConfig)
	if err != nil {
		t.Fatal(err)
	}
	path := writeConfig(t, commentedKey.ReplaceAllString(string(text), "$1$2"))
	shown := koanf.New(".")
	if err := shown.Load(file.Provider(path), yaml.Parser()); err != nil {
		t.Fatal(err)
	}
	var every Config
	for _, k := range keysOf(&every) {
		if !shown.Exists(k.path) {
			t.Errorf("configs/instantd.yaml does not show %s", k.path)
		}
	}

	got, err := LoadConfig(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Data.Dir = "/var/lib/instantd"
	emptyLists := cmp.Transformer("empty", func(list []string) string { return strings.Join(list, ",") })
	if diff := cmp.Diff(want, got, emptyLists); diff != "" {
		t.Errorf("the commented values are not the defaults (-default +file):\n%s", diff)
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"", "0", "64MiB", "1 GB", "9223372036854775807TiB", "-1", "1e3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseSize(text)
		if err == nil && size < 0 {
			t.Errorf("%q is %d bytes", text, size)
		}
	})
}
