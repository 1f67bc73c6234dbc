package main

import (
	"fmt"
	"io"
	"net/url"

	"instantd/web"
)

// Addr is where clients connect, host:port.
func (s *Server) Addr() string { return addrOf(s.clients) }

// AdminAddr is where the center and instantctl connect, empty when that is off.
func (s *Server) AdminAddr() string { return addrOf(s.admin) }

// OpsAddr is where metrics and health are, empty when that is off.
func (s *Server) OpsAddr() string { return addrOf(s.ops) }

func addrOf(server *web.Server) string {
	if server == nil || server.Addr() == nil {
		return ""
	}
	return server.Addr().String()
}

// PrintAddresses tells a person where everything is.
func (s *Server) PrintAddresses(w io.Writer) {
	scheme, socket := "http", "ws"
	if s.config.HTTP.TLSCert != "" {
		scheme, socket = "https", "wss"
	}
	fmt.Fprintln(w, "instantd")
	fmt.Fprintf(w, "  clients    %s://%s/\n", scheme, s.Addr())
	fmt.Fprintf(w, "  websocket  %s://%s/instant/ws\n", socket, s.Addr())
	if s.admin != nil {
		fmt.Fprintf(w, "  admin      http://%s/instant/base\n", s.AdminAddr())
	}
	if s.ops != nil {
		fmt.Fprintf(w, "  ops        http://%s/readyz\n", s.OpsAddr())
	}
	fmt.Fprintf(w, "  broker     %s\n", brokerText(s.config.AMQP.URL))
	fmt.Fprintf(w, "  data       %s\n", s.config.Data.Dir)
}

// brokerText shows a broker's URL without who connects and how.
func brokerText(text string) string {
	if text == "" {
		return "none"
	}
	u, err := url.Parse(text)
	if err != nil {
		return "configured"
	}
	u.User = nil
	return u.String()
}
