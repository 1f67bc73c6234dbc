//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// getPage is the request for a page of a conversation's history: the newest
// messages before an id, or of all when it is 0.
func getPage(host, token, conversation string, limit int, before uint64) []byte {
	path := "/instant/c_message_history?conversation_id=" + conversation + "&limit=" + strconv.Itoa(limit)
	if before > 0 {
		path += "&before_id=" + strconv.FormatUint(before, 10)
	}
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nx-token: " + token + "\r\n\r\n")
}

// extent is the messages of a page: from the newest down to the oldest.
type extent struct {
	newest, oldest uint64 // 0 when the page is empty
	messages       int
}

// readPage reads an answer, and checks that its messages come newest first
// without a gap.
func readPage(body []byte) (extent, error) {
	if !bytes.HasPrefix(body, []byte(`{"code":0`)) {
		return extent{}, fmt.Errorf("no page of history: %.200s", body)
	}
	var e extent
	for {
		body = find(body, keySeq)
		if body == nil {
			return e, nil
		}
		seq := number(body)
		if seq < 1 || e.messages > 0 && uint64(seq)+1 != e.oldest {
			return extent{}, fmt.Errorf("a page has seq %d behind %d", seq, e.oldest)
		}
		if e.messages == 0 {
			e.newest = uint64(seq)
		}
		e.oldest = uint64(seq)
		e.messages++
	}
}

// readings are the times of the pages that one reader of a fleet got.
type readings struct {
	page recorder
	end  int64 // when the last one came
	_    [64]byte
}

// newReadings makes one for each reader.
func newReadings(n int) []readings {
	all := make([]readings, n)
	for i := range all {
		all[i].page = newRecorder()
	}
	return all
}

// note notes a page that came at a time and was due at another.
func (r *readings) note(at, due int64) {
	r.page.record(at - due)
	r.end = at
}

// sumReadings adds up what the readers wrote. Call it when everything is read.
func sumReadings(all []readings) readings {
	total := readings{page: newRecorder()}
	for _, r := range all {
		total.page.merge(r.page)
		total.end = max(total.end, r.end)
	}
	return total
}

// phase is what was read since begin. Who was asked, and what for, is left open.
func (r readings) phase(begin int64) phase {
	p := phase{Answer: r.page.latency()}
	if p.Answer.Count == 0 {
		return p
	}
	p.Work = float64(p.Answer.Count)
	p.Sent, p.Seconds = p.Work, float64(r.end-begin)/1e9
	p.Rate = p.Work / p.Seconds
	return p
}
