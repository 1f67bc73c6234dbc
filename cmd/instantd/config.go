package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// Config is everything that can be set. Its defaults run on a laptop; only the
// admin secret has none. configs/instantd.yaml explains every key.
type Config struct {
	Development bool          `yaml:"development"`
	Timezone    string        `yaml:"timezone"`
	Drain       time.Duration `yaml:"drain"`
	OpenRoles   bool          `yaml:"open_roles"` // members may do what otherwise only the owner may
	Data        DataConfig    `yaml:"data"`
	HTTP        HTTPConfig    `yaml:"http"`
	Admin       AdminConfig   `yaml:"admin"`
	Ops         OpsConfig     `yaml:"ops"`
	AMQP        AMQPConfig    `yaml:"amqp"`
	Instant     InstantConfig `yaml:"instant"`
	Log         LogConfig     `yaml:"log"`
}

// DataConfig says where state lives.
type DataConfig struct {
	Dir     string `yaml:"dir"`
	MinFree Size   `yaml:"min_free"` // free disk below which writes are refused
}

// HTTPConfig is the listener for clients.
type HTTPConfig struct {
	Addr                     string   `yaml:"addr"`
	TLSCert                  string   `yaml:"tls_cert"`
	TLSKey                   string   `yaml:"tls_key"`
	Origins                  []string `yaml:"origins"`
	Proxies                  []string `yaml:"proxies"` // free of limits per address, as loopback is
	MaxConnections           int      `yaml:"max_connections"`
	MaxConnectionsPerAddress int      `yaml:"max_connections_per_address"`
	Rate                     int      `yaml:"rate"` // requests per second and remote address
	Burst                    int      `yaml:"burst"`
	FrameRate                int      `yaml:"frame_rate"`       // frames per second that one WebSocket may send
	MaxUpload                Size     `yaml:"max_upload"`       // of one file
	MaxUploadTotal           Size     `yaml:"max_upload_total"` // of all files of one upload
}

// AdminConfig is the listener for the center and for instantctl.
type AdminConfig struct {
	Addr          string   `yaml:"addr"`
	Secret        string   `yaml:"secret"`
	Allow         []string `yaml:"allow"`
	SkipTimeCheck bool     `yaml:"skip_time_check"`
}

// OpsConfig is the listener for metrics and health.
type OpsConfig struct {
	Addr  string   `yaml:"addr"`
	Allow []string `yaml:"allow"`
}

// AMQPConfig is the message broker. An empty URL means that there is none.
type AMQPConfig struct {
	URL          string        `yaml:"url"`
	PublicURL    string        `yaml:"public_url"` // what clients are told, with a login that may only read
	ExchangeType string        `yaml:"exchange_type"`
	QueueExpires time.Duration `yaml:"queue_expires"`
	Grace        time.Duration `yaml:"grace"`
}

// InstantConfig is the instant dialect.
type InstantConfig struct {
	Compat      string   `yaml:"compat"`
	BrokerInfo  bool     `yaml:"broker_info"`
	BrokerAllow []string `yaml:"broker_allow"`
}

// LogConfig is what goes to standard error.
type LogConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// DefaultConfig is the configuration of a server that nobody configured.
func DefaultConfig() Config {
	return Config{
		Timezone: "Asia/Shanghai",
		Drain:    30 * time.Second,
		Data:     DataConfig{Dir: "./data", MinFree: 512 << 20},
		HTTP: HTTPConfig{
			Addr:           "127.0.0.1:8080",
			MaxConnections: 50_000, MaxConnectionsPerAddress: 2_000,
			Rate: 100, Burst: 200, FrameRate: 2_000,
			MaxUpload: 100 << 20, MaxUploadTotal: 200 << 20,
		},
		Admin:   AdminConfig{Addr: "127.0.0.1:18080"},
		Ops:     OpsConfig{Addr: "127.0.0.1:9090"},
		AMQP:    AMQPConfig{ExchangeType: "topic", QueueExpires: 24 * time.Hour, Grace: 10 * time.Minute},
		Instant: InstantConfig{Compat: "superset"},
		Log:     LogConfig{Level: "info", Format: "auto"},
	}
}

const envPrefix = "INSTANTD_"

// reserved are names in the environment that belong to dialects which this
// version does not have. Setting one changes nothing, so that one environment
// serves every version.
var reserved = []string{
	"INSTANTD_GATEWAY_JWT_KEY", "INSTANTD_GATEWAY_INNER_ALLOW",
	"INSTANTD_SEALED_HTTP_ADDR", "INSTANTD_SEALED_TCP_ADDR",
	"INSTANTD_XMPP_ADDR", "INSTANTD_PLATFORM_ID",
}

// LoadConfig reads a file, when path is not empty, and then the environment
// (in the form of os.Environ), which wins. A key that does not exist is an
// error that names the nearest one that does. The result is not validated.
func LoadConfig(path string, environ []string) (Config, error) {
	config := DefaultConfig()
	keys := keysOf(&config)
	loaded := koanf.New(".")
	if path != "" {
		if err := loaded.Load(file.Provider(path), yaml.Parser()); err != nil {
			return Config{}, fmt.Errorf("read configuration %s: %w", path, err)
		}
	}
	unknown := unknownKeys(loaded, keys)
	vars := env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			i := slices.IndexFunc(keys, func(k key) bool { return k.env == name })
			if i < 0 && slices.Contains(reserved, name) {
				return "", nil
			}
			if i < 0 {
				near := nearest(name, keys, func(k key) string { return k.env })
				unknown = append(unknown, fmt.Sprintf("%s in the environment is not a key; the nearest is %s", name, near))
				return "", nil
			}
			return keys[i].path, value
		},
	})
	if err := loaded.Load(vars, nil); err != nil {
		return Config{}, fmt.Errorf("read the environment: %w", err)
	}
	problems := unknown
	for _, k := range keys {
		if !loaded.Exists(k.path) {
			continue
		}
		if err := k.set(loaded.Get(k.path)); err != nil {
			problems = append(problems, fmt.Sprintf("%s (%s) %v", k.path, k.env, err))
		}
	}
	if len(problems) > 0 {
		return Config{}, &ConfigError{Problems: problems}
	}
	return config, nil
}

// unknownKeys lists what a file sets that no key reads.
func unknownKeys(loaded *koanf.Koanf, keys []key) []string {
	var unknown []string
	for _, path := range loaded.Keys() {
		if slices.ContainsFunc(keys, func(k key) bool { return k.path == path }) {
			continue
		}
		isGroup := slices.ContainsFunc(keys, func(k key) bool { return strings.HasPrefix(k.path, path+".") })
		if isGroup && loaded.Get(path) == nil {
			continue // a heading whose keys are all commented out
		}
		near := nearest(path, keys, func(k key) string { return k.path })
		unknown = append(unknown, fmt.Sprintf("%s is not a key; the nearest is %s", path, near))
	}
	return unknown
}

// ConfigError lists everything that is wrong with a configuration, so that one
// start is enough to mend it.
type ConfigError struct{ Problems []string }

func (e *ConfigError) Error() string {
	return "the configuration cannot be used:\n  - " + strings.Join(e.Problems, "\n  - ")
}

// key is one setting: its path in the file, its name in the environment, and
// the field of the Config that it fills.
type key struct {
	path  string
	env   string
	field reflect.Value
}

// keysOf walks a Config. The names come from the struct alone, so that a key
// with an underscore is never confused with a group.
func keysOf(config *Config) []key { return walk(reflect.ValueOf(config).Elem(), "") }

func walk(group reflect.Value, prefix string) []key {
	var keys []key
	for i := range group.NumField() {
		path := prefix + group.Type().Field(i).Tag.Get("yaml")
		if field := group.Field(i); field.Kind() == reflect.Struct {
			keys = append(keys, walk(field, path+".")...)
			continue
		}
		keys = append(keys, key{
			path:  path,
			env:   envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_")),
			field: group.Field(i),
		})
	}
	return keys
}
