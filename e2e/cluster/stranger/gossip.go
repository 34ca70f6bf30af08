package stranger

import (
	"errors"
	"io"
	"net/netip"

	"github.com/hashicorp/memberlist"
)

// Join tries to get into the roster, with this label and this key, nil for none,
// as a member at the address self. It returns the names of all that it then sees
// but itself.
func Join(self netip.Addr, member, label string, key []byte) (seen []string, err error) {
	cfg := memberlist.DefaultLANConfig()
	cfg.Name, cfg.Label, cfg.SecretKey = "stranger", label, key
	cfg.BindAddr, cfg.AdvertiseAddr = self.String(), self.String()
	cfg.LogOutput = io.Discard
	list, err := memberlist.Create(cfg)
	if err != nil {
		return nil, err
	}
	_, joinErr := list.Join([]string{member})
	for _, m := range list.Members() {
		if m.Name != cfg.Name {
			seen = append(seen, m.Name)
		}
	}
	return seen, errors.Join(joinErr, list.Shutdown())
}
