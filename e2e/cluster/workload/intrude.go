package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/stranger"
)

// attemptTimeout bounds each attempt of intrude.
const attemptTimeout = 15 * time.Second

// An intrusion is what intrude tells.
type intrusion struct {
	// Enrolment, Peer and Gossip are how each attempt ended.
	Enrolment, Peer, Gossip map[string]string
	// Got is what nobody should get.
	Got []string
}

// intrude tries to get something out of a fleet of Rollcall to which its pod does
// not belong, and prints how that went.
func intrude() command {
	flags := pflag.NewFlagSet("intrude", pflag.ContinueOnError)
	agent := flags.String("agent", "", "IP address of an agent")
	aggregator := flags.String("aggregator", "", "IP address of an aggregator")
	victim := flags.String("victim", "", "node whose agent to pretend to be")
	ca := flags.String("ca-file", "", "the fleet's CA")
	token := flags.String("token-file", "", "our own service account token")
	return command{flags, func(ctx context.Context) error {
		i := &intrusion{Enrolment: map[string]string{}, Peer: map[string]string{}, Gossip: map[string]string{}}
		err := errors.Join(
			i.enrol(ctx, *aggregator, *victim, *ca, *token),
			i.ask(ctx, *agent),
			i.join(*aggregator))
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(i)
	}}
}

func (i *intrusion) enrol(ctx context.Context, aggregator, victim, caFile, tokenFile string) error {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for name, token := range map[string]string{"own": strings.TrimSpace(string(token)), "made up": "eyJhbGciOiJub25lIn0.e30."} {
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		reason, err := stranger.Enrol(ctx, (&net.Dialer{}).DialContext, net.JoinHostPort(aggregator, "9810"), roots, victim, token)
		cancel()
		i.Enrolment[name] = fmt.Sprint(reason, err)
		if err == nil && reason == "" {
			i.Got = append(i.Got, "a certificate with token "+name)
		}
	}
	return nil
}

func (i *intrusion) ask(ctx context.Context, agent string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	forged, err := stranger.ForgedCertificate()
	if err != nil {
		return err
	}
	at := net.JoinHostPort(agent, "9810")
	got, err := stranger.Ask(ctx, at)
	i.answered("without a certificate", got, err)
	got, err = stranger.Ask(ctx, at, forged)
	i.answered("with a forged certificate", got, err)
	return nil
}

func (i *intrusion) answered(how, got string, err error) {
	i.Peer[how] = fmt.Sprint(err)
	if err == nil {
		i.Got = append(i.Got, "data "+how+": "+got)
	}
}

func (i *intrusion) join(aggregator string) error {
	self, err := ownAddress(aggregator)
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key)
	for name, try := range map[string]struct {
		label string
		key   []byte
	}{"no key": {"rollcall", nil}, "another key": {"rollcall", key}, "another label": {"another", key}} {
		seen, err := stranger.Join(self, net.JoinHostPort(aggregator, "7946"), try.label, try.key)
		i.Gossip[name] = fmt.Sprint(err)
		if len(seen) > 0 {
			i.Got = append(i.Got, fmt.Sprintf("members with %s: %v", name, seen))
		}
	}
	return nil
}

// ownAddress is the one that this pod has for the other.
func ownAddress(other string) (netip.Addr, error) {
	conn, err := net.Dial("udp", net.JoinHostPort(other, "7946")) // sends nothing
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return netip.MustParseAddrPort(conn.LocalAddr().String()).Addr(), nil
}
