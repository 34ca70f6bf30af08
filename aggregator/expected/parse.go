package expected

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// list is what a file says. It never changes.
type list struct {
	nodes     []string // sorted
	addresses map[string]string
}

// parse reads a file's content. Errors name the file and the line.
func parse(path string, content []byte) (*list, error) {
	l := &list{addresses: map[string]string{}}
	lines := map[string]int{}
	n := 0
	for line := range bytes.Lines(content) {
		n++
		text, _, _ := strings.Cut(string(line), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if err := checkLine(fields); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		node := fields[0]
		if first, dup := lines[node]; dup {
			return nil, fmt.Errorf("%s:%d: node %q stands in line %d, too", path, n, node, first)
		}
		lines[node] = n
		l.nodes = append(l.nodes, node)
		if len(fields) > 1 {
			l.addresses[node] = fields[1]
		}
	}
	if len(l.nodes) == 0 {
		// Every answer would be complete.
		return nil, fmt.Errorf("%s: no node", path)
	}
	slices.Sort(l.nodes)
	return l, nil
}

// checkLine tells what is wrong with a line's fields, if anything.
func checkLine(fields []string) error {
	switch {
	case len(fields) > 2:
		return fmt.Errorf("%d words, want a node's name and perhaps an address", len(fields))
	case !identity.ValidName(fields[0]):
		return fmt.Errorf("node %q is not a DNS-1123 subdomain", fields[0])
	case len(fields) == 2:
		if err := checkAddress(fields[1]); err != nil {
			return fmt.Errorf("address %q of node %s: %w", fields[1], fields[0], err)
		}
	}
	return nil
}

// checkAddress tells whether the roster could join there: an IP address or a
// DNS name, with or without port.
func checkAddress(address string) error {
	if _, err := netip.ParseAddr(address); err == nil {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, "1"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not in 1 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err != nil && !identity.ValidName(strings.TrimSuffix(host, ".")) {
		return errors.New("not a host or host:port")
	}
	return nil
}
