//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// natsDialect is the text protocol of NATS, in binary frames. The server puts
// whole operations into a frame, as many as wait.
type natsDialect struct {
	// stored is for JetStream: members hear what the stream has stored, and a
	// message is answered when it is; bench/peers makes that stream. Otherwise
	// the answer is that the server has done everything up to the message.
	stored bool
}

var (
	lineEnd      = []byte("\r\n")
	natsMessage  = []byte("MSG ")
	natsPing     = []byte("PING")
	natsPong     = []byte("PONG")
	natsError    = []byte("-ERR")
	natsInfo     = []byte("INFO ")
	natsOK       = []byte("+OK")
	answerPrefix = []byte("answers.")
)

func (natsDialect) path(string) string { return "/" }

func (d natsDialect) hello(sends bool) []byte {
	said := `CONNECT {"verbose":false,"pedantic":false,"lang":"instantbench","version":"1"}` + "\r\n"
	switch {
	case !d.stored:
		said += "SUB bench 1\r\n"
	case sends:
		said += "SUB bench-deliver 1\r\nSUB answers.* 2\r\n"
	default:
		said += "SUB bench-deliver 1\r\n"
	}
	return natsFrame(said + "PING\r\n")
}

func (d natsDialect) send(number int, _, text string) []byte {
	body := told(uint64(number)+1, text)
	publish := strconv.Itoa(len(body)) + "\r\n" + body + "\r\n"
	if d.stored {
		return natsFrame("PUB bench answers." + strconv.Itoa(number) + " " + publish)
	}
	return natsFrame("PUB bench " + publish + "PING\r\n")
}

func (natsDialect) ack(string, uint64) []byte { return nil }
func (natsDialect) pong() []byte              { return natsFrame("PONG\r\n") }

func natsFrame(text string) []byte { return appendFrame(nil, opBinary, []byte(text), true) }

func (natsDialect) hear(payload []byte) (event, int, error) {
	end := bytes.Index(payload, lineEnd)
	if end < 0 {
		return event{}, 0, fmt.Errorf("%.80q has no end", payload)
	}
	line, n := payload[:end], end+len(lineEnd)
	switch {
	case bytes.HasPrefix(line, natsMessage):
		return natsHear(line, payload, n)
	case bytes.Equal(line, natsPing):
		return event{kind: ping}, n, nil
	case bytes.Equal(line, natsPong):
		return event{kind: pong}, n, nil
	case bytes.HasPrefix(line, natsInfo), bytes.Equal(line, natsOK):
		return event{}, n, nil
	case bytes.HasPrefix(line, natsError):
		return event{}, 0, fmt.Errorf("the server says %.200s", line)
	}
	return event{}, 0, fmt.Errorf("%.80q is nothing that NATS says", line)
}

// natsHear reads a message, whose line is MSG subject sid [reply] length. Its
// body begins at n and ends with the end of a line, too.
func natsHear(line, payload []byte, n int) (event, int, error) {
	length := number(line[bytes.LastIndexByte(line, ' ')+1:])
	if length < 0 || length > maxFrame || n+length+len(lineEnd) > len(payload) {
		return event{}, 0, fmt.Errorf("%.80q does not fit its frame", line)
	}
	body := payload[n : n+length]
	n += length + len(lineEnd)
	subject := line[len(natsMessage):]
	if !bytes.HasPrefix(subject, answerPrefix) {
		return scan(body), n, nil
	}
	e := event{kind: reply, number: number(subject[len(answerPrefix):])}
	if code := after(body, keyError); code >= 0 {
		e.code = max(1, code)
	}
	return e, n, nil
}
