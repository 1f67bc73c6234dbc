package instant

import "testing"

func BenchmarkDecodeFrame(b *testing.B) {
	for name, frame := range map[string]string{
		"send": `{"cmd":"send","ref":12345,"data":{"conversation_id":"0f8fad5bd9cb469fa16570867728950e","client_msg_id":"a-1","profile":[{"type":0,"name":"the quick brown fox jumps over the lazy dog, and again, and again, and again, and once more"}]}}`,
		"ack":  `{"cmd":"ack","data":{"conversation_id":"0f8fad5bd9cb469fa16570867728950e","seq":123456}}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			body := []byte(frame)
			for b.Loop() {
				if _, err := DecodeFrame(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
