//go:build linux

package main

import (
	"bytes"
	"testing"
)

func TestReadFrame(t *testing.T) {
	t.Parallel()
	long, longer := bytes.Repeat([]byte("m"), 300), bytes.Repeat([]byte("l"), 70_000)
	tests := []struct {
		name    string
		data    []byte
		masked  bool
		op      byte
		payload []byte
		n       int
		fails   bool
	}{
		{"a short frame", []byte("\x81\x02hi"), false, opText, []byte("hi"), 4, false},
		{"an empty frame", []byte{0x89, 0}, false, opPing, nil, 2, false},
		{"only the first of two", []byte("\x81\x01a\x81\x01b"), false, opText, []byte("a"), 3, false},
		{"a length of two bytes", appendFrame(nil, opText, long, false), false, opText, long, 304, false},
		{"a length of eight bytes", appendFrame(nil, opText, longer, false), false, opText, longer, 70_010, false},
		{"a masked frame", []byte("\x81\x82\x01\x02\x03\x04ig"), true, opText, []byte("he"), 8, false},
		{"one byte is not enough", []byte{0x81}, false, 0, nil, 0, false},
		{"half a length is not enough", []byte{0x81, 126, 1}, false, 0, nil, 0, false},
		{"half a payload is not enough", []byte("\x81\x05hel"), false, 0, nil, 0, false},
		{"half a mask is not enough", []byte{0x81, 0x82, 1, 2}, true, 0, nil, 0, false},
		{"a fragment is refused", []byte("\x01\x02hi"), false, 0, nil, 0, true},
		{"an extension is refused", []byte("\xC1\x02hi"), false, 0, nil, 0, true},
		{"a server must not mask", []byte("\x81\x82\x01\x02\x03\x04ig"), false, 0, nil, 0, true},
		{"a client must mask", []byte("\x81\x02hi"), true, 0, nil, 0, true},
		{"a huge frame is refused before it comes", []byte{0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0}, false, 0, nil, 0, true},
		{"the largest length does not overflow", []byte{0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255}, false, 0, nil, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, n, err := readFrame(bytes.Clone(tt.data), tt.masked)
			if n != tt.n || (err != nil) != tt.fails || f.op != tt.op || !bytes.Equal(f.payload, tt.payload) {
				t.Errorf("readFrame = op %d, %d bytes, %d, %v; want op %d, %d bytes, %d, failure %t",
					f.op, len(f.payload), n, err, tt.op, len(tt.payload), tt.n, tt.fails)
			}
		})
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x81\x02hi"), false)
	f.Add([]byte("\x81\x82\x01\x02\x03\x04ig"), true)
	f.Add(appendFrame(nil, opClose, bytes.Repeat([]byte("x"), 126), true), true)
	f.Fuzz(func(t *testing.T, data []byte, masked bool) {
		whole, n, err := readFrame(bytes.Clone(data), masked)
		if n < 0 || n > len(data) || (err != nil && n != 0) {
			t.Fatalf("readFrame took %d of %d bytes, error %v", n, len(data), err)
		}
		if n == 0 {
			return
		}
		again, m, err := readFrame(appendFrame(nil, whole.op, whole.payload, masked), masked)
		if err != nil || m == 0 || again.op != whole.op || !bytes.Equal(again.payload, whole.payload) {
			t.Fatalf("%v does not survive: %v, %v", whole, again, err)
		}
	})
}
