package roster

import (
	"encoding/json"
	"net/netip"
	"os"

	"github.com/spf13/pflag"
)

// AddFlags adds the flags of gossip. The address of the pod is taken from the
// environment variable POD_IP, if it is set.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	fs.TextVar(&c.Bind, "gossip-bind", netip.IPv4Unspecified(), "address to listen at for gossip, TCP and UDP")
	var pod netip.Addr
	if ip, err := netip.ParseAddr(os.Getenv("POD_IP")); err == nil {
		pod = ip
	}
	fs.TextVar(&c.Advertise, "gossip-advertise", pod, "address that other members reach this one at; from POD_IP if that is set, else --gossip-bind")
	fs.IntVar(&c.Port, "gossip-port", 7946, "port of gossip, the same on all members")
	fs.StringSliceVar(&c.Join, "join", nil, "aggregators to join: addresses or DNS names, with or without port")
	fs.StringVar(&c.Label, "cluster-label", "rollcall", "name of the cluster; members with another one are ignored")
	fs.StringVar(&c.KeyFile, "gossip-key-file", "", "file with the gossip keys, base64, one a line, the first is used to send; re-read when it changes")
}

// MarshalJSON shows the snapshot on a debug page.
func (s *Snapshot) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Members []Member    `json:"members"`
		Dead    []Departure `json:"dead"`
		Left    []Departure `json:"left"`
	}{s.Members(), s.Departed(), s.Left()})
}
