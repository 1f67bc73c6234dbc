package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"instantd/protocol"
)

func TestAllow(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		list  []string
		peer  string
		allow bool
	}{
		{"a bare address is itself", []string{"192.0.2.7"}, "192.0.2.7:1", true},
		{"a bare address is nobody else", []string{"192.0.2.7"}, "192.0.2.8:1", false},
		{"a bare IPv6 address is itself", []string{"2001:db8::1"}, "[2001:db8::1]:1", true},
		{"a bare IPv6 address is nobody else", []string{"2001:db8::1"}, "[2001:db8::2]:1", false},
		{"a network holds its addresses", []string{"10.0.0.0/8"}, "10.255.0.1:1", true},
		{"host bits of a network do not matter", []string{"10.1.2.3/8"}, "10.255.0.1:1", true},
		{"an IPv4 peer on an IPv6 socket is IPv4", []string{"10.0.0.0/8"}, "[::ffff:10.1.1.1]:1", true},
		{"an IPv4 network in IPv6 form is IPv4", []string{"::ffff:10.0.0.0/104"}, "10.1.1.1:1", true},
		{"a zone does not matter", []string{"fe80::/10"}, "[fe80::1%eth0]:1", true},
		{"any of several", []string{"10.0.0.0/8", " 127.0.0.1 "}, "127.0.0.1:1", true},
		{"an empty list allows nobody", nil, "127.0.0.1:1", false},
		{"an unknown peer is nobody", []string{"0.0.0.0/0", "::/0"}, "@", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			prefixes, err := ParsePrefixes(row.list)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = row.peer
			r.Header.Set("X-Forwarded-For", "192.0.2.7, 127.0.0.1, 10.0.0.1") // believed by nobody
			w := httptest.NewRecorder()
			Allow(prefixes, nil, say("hi")).ServeHTTP(w, r)
			want := http.StatusForbidden
			if row.allow {
				want = http.StatusOK
			}
			if w.Code != want {
				t.Errorf("%s in %v answered %d, want %d", row.peer, prefixes, w.Code, want)
			}
		})
	}
}

func TestStrangersAreAddressesOrNetworks(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "::1": "::",
	} {
		if got := stranger(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s counts as %s, want %s", addr, got, want)
		}
	}
}

func FuzzParsePrefixes(f *testing.F) {
	for _, seed := range []string{"10.0.0.0/8", "::1", "::ffff:1.2.3.4", "::ffff:10.0.0.0/104", "fe80::1%eth0", "10.0.0.1/33", "", "localhost"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		prefixes, err := ParsePrefixes([]string{text})
		if err != nil {
			if protocol.CodeOf(err) != protocol.Invalid {
				t.Errorf("%q: code %v", text, protocol.CodeOf(err))
			}
			return
		}
		p := prefixes[0]
		if !p.IsValid() || !p.Contains(p.Addr()) {
			t.Errorf("%q became %v", text, p)
		}
		again, err := ParsePrefixes([]string{p.String()})
		if err != nil || again[0] != p {
			t.Errorf("%q became %v, which becomes %v, %v", text, p, again, err)
		}
	})
}
