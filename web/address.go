package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"instantd/protocol"
)

// loopback is the addresses of the machine itself.
var loopback = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("::1/128"),
}

// ParsePrefixes reads a list of networks for Allow or Exempt. A bare address
// stands for itself alone (/32 or /128); an IPv4 network in IPv6 form is the
// IPv4 network. The error is Invalid and names the entry.
func ParsePrefixes(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		prefix, err := parsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%q is neither an address nor a network such as 10.0.0.0/8", text)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		addr = plain(addr)
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), nil
}

// Allow answers only peers whose socket address lies in one of the prefixes;
// everybody else is refused with Forbidden. An empty list allows nobody. A nil
// refuse is PlainRefusal.
func Allow(prefixes []netip.Prefix, refuse Refusal, next http.Handler) http.Handler {
	if refuse == nil {
		refuse = PlainRefusal
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !contains(prefixes, remoteAddr(r)) {
			refuse(w, r, protocol.Forbidden, "this address is not allowed")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// remoteAddr is the peer's address on the socket, the zero Addr when unknown.
func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(ap.Addr())
}

// addrOf is the address at the far end of a connection.
func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return plain(tcp.AddrPort().Addr())
}

func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// stranger is what limits are counted by: an IPv4 address, or the /64 network
// of an IPv6 address, since one host has a whole one of these.
func stranger(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	network, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return network.Addr()
}
