//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// maxHead bounds the head of an HTTP answer.
const maxHead = 16 << 10

var (
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ")
)

// answer is one HTTP answer. Its body is part of what it was read from.
type answer struct {
	status int
	body   []byte
}

// readAnswer takes the first answer from data and returns how long it is there;
// 0 without an error means that the rest has not arrived. Only what Go's server
// says on a kept connection is understood: HTTP/1.1 with a Content-Length.
func readAnswer(data []byte) (a answer, n int, err error) {
	end := bytes.Index(data, headEnd)
	if end < 0 && len(data) > maxHead {
		return answer{}, 0, errors.New("the head of an answer does not end")
	}
	if end < 0 {
		return answer{}, 0, nil
	}
	head := data[:end]
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) || len(head) < 12 {
		return answer{}, 0, fmt.Errorf("%.20q is no HTTP/1.1 answer", head)
	}
	status := number(head[9:12])
	length := after(head, contentLength)
	if status < 0 || length < 0 || length > maxFrame {
		return answer{}, 0, errors.New("an answer has no usable status or Content-Length")
	}
	start := end + len(headEnd)
	if len(data) < start+length {
		return answer{}, 0, nil
	}
	return answer{status: status, body: data[start : start+length]}, start + length, nil
}

// postText is the request that sends a draft over REST.
func postText(host, token, draft string) []byte {
	return []byte("POST /instant/c_message_text HTTP/1.1\r\nHost: " + host + "\r\nx-token: " + token +
		"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(draft)) + "\r\n\r\n" + draft)
}
