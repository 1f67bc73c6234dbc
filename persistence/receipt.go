package persistence

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// watermark is a row of tableWatermark.
type watermark struct {
	Delivered map[protocol.DeviceClass]protocol.Seq `cbor:"1,keyasint,omitempty"`
	Read      protocol.Seq                          `cbor:"2,keyasint,omitempty"`
}

// receipts moves a user's watermarks forward, never back.
func (d *draft) receipts(user protocol.UserID, e protocol.ReceiptsAdvanced) error {
	for _, receipt := range e.Receipts {
		if err := checkID("conversation id", receipt.Conversation); err != nil {
			return err
		}
		key := watermarkKey(user, receipt.Conversation)
		w, _, err := draftGet[watermark](d, key)
		if err != nil {
			return fmt.Errorf("watermark of %s in %s: %w", user, receipt.Conversation, err)
		}
		if receipt.Delivered > w.Delivered[receipt.Class] {
			if w.Delivered == nil {
				w.Delivered = map[protocol.DeviceClass]protocol.Seq{}
			}
			w.Delivered[receipt.Class] = receipt.Delivered
		}
		w.Read = max(w.Read, receipt.Read)
		if err := d.setAs(key, w); err != nil {
			return err
		}
	}
	return nil
}

// Watermarks are all watermarks of a user, by conversation id.
func (s *Store) Watermarks(user protocol.UserID) (list []protocol.Watermark, err error) {
	prefix := watermarkPrefix(user)
	err = s.views.read(func(txn *badger.Txn) error {
		return scan(txn, prefix, nil, func(item *badger.Item) error {
			w, err := itemAs[watermark](item)
			if err != nil {
				return err
			}
			id := protocol.ConversationID(item.Key()[len(prefix):])
			list = append(list, protocol.Watermark{Conversation: id, Delivered: w.Delivered, Read: w.Read})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("watermarks of %s: %w", user, err)
	}
	return list, nil
}
