//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	whole := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"code\":0}"
	tests := []struct {
		name   string
		data   string
		status int
		body   string
		n      int
		fails  bool
	}{
		{"a whole answer", whole, 200, `{"code":0}`, len(whole), false},
		{"only the first of two", whole + whole, 200, `{"code":0}`, len(whole), false},
		{"a refusal", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, "no", 47, false},
		{"half a head is not enough", whole[:30], 0, "", 0, false},
		{"half a body is not enough", whole[:len(whole)-1], 0, "", 0, false},
		{"no length is refused", "HTTP/1.1 200 OK\r\n\r\n", 0, "", 0, true},
		{"another protocol is refused", "SSH-2.0-x 200 OK\r\nContent-Length: 0\r\n\r\n", 0, "", 0, true},
		{"a head without end is refused", strings.Repeat("x", maxHead+1), 0, "", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, n, err := readAnswer([]byte(tt.data))
			if a.status != tt.status || string(a.body) != tt.body || n != tt.n || (err != nil) != tt.fails {
				t.Errorf("readAnswer = %d %q, %d, %v; want %d %q, %d, failure %t", a.status, a.body, n, err, tt.status, tt.body, tt.n, tt.fails)
			}
		})
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
	f.Add([]byte("HTTP/1.1 \r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, n, err := readAnswer(data)
		if n < 0 || n > len(data) || len(a.body) > n || (err != nil && n != 0) {
			t.Fatalf("readAnswer = %v, %d of %d bytes, %v", a, n, len(data), err)
		}
	})
}

func TestPostTextIsARequest(t *testing.T) {
	t.Parallel()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(postText("127.0.0.1:1", "secret", draft("c", text(7, 20))))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	want := `{"conversation_id":"c","profile":[{"type":0,"name":"#7 xxxxxxxxxxxxxxxxx"}]}`
	if err != nil || string(body) != want || r.URL.Path != "/instant/c_message_text" || r.Header.Get("x-token") != "secret" {
		t.Errorf("%s %v %q, %v", r.URL, r.Header, body, err)
	}
}
