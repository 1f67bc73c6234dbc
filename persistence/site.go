package persistence

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// site drafts a record of the server's settings.
func (d *draft) site(r protocol.Record) error {
	before, _, err := draftGet[protocol.Site](d, []byte{tableSite})
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	if err := d.setAs([]byte{tableSite}, before.Apply(r)); err != nil {
		return err
	}
	return d.inOrder(r)
}

// Site returns the server's settings.
func (s *Store) Site() (site protocol.Site, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		site, _, err = getAs[protocol.Site](txn, []byte{tableSite})
		return err
	})
	if err != nil {
		return protocol.Site{}, fmt.Errorf("site: %w", err)
	}
	return site, nil
}
