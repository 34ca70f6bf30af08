package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// A request is the first line of stdin. Each further line is an order, which
// yields a line of stdout; the end of stdin ends the process.
type request struct {
	Nodes      []node
	CA         string        // file
	ServerName string        // that the kubelets' certificates carry
	Timeout    time.Duration // of one node
	// Negotiate offers HTTP/2 and gzip, as metrics-server's client does, instead
	// of HTTP/1.1 and plain text, which cost a scraper less.
	Negotiate bool
}

// An order is to do one cycle.
type order struct {
	Spread time.Duration // within which nodes are begun to be asked
}

// A node is one kubelet.
type node struct{ Name, URL string }

// A result is what one cycle brought.
type result struct {
	Wall                    time.Duration
	Bytes                   int64 // of text
	Nodes, Pods, Containers int
	// Rates is how many containers have two points, so that their CPU use can be told.
	Rates int
	// Failed is why a node is missing, if any is.
	Failed string
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "scraper: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	orders, results := bufio.NewReader(in), json.NewEncoder(out)
	line, err := orders.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no request: %w", err)
	}
	var q request
	if err := json.Unmarshal(line, &q); err != nil {
		return err
	}
	client, err := q.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	s, store := newScraper(q, client), &store{}
	for {
		line, err := orders.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var o order
		if err := json.Unmarshal(line, &o); err != nil {
			return err
		}
		began := time.Now()
		b, size, failed := s.scrape(context.Background(), o.Spread)
		store.take(b)
		r := result{Wall: time.Since(began), Bytes: size, Nodes: len(b.nodes), Pods: len(b.pods), Rates: store.rates()}
		if failed != nil {
			r.Failed = failed.Error()
		}
		for _, containers := range b.pods {
			r.Containers += len(containers)
		}
		if err := results.Encode(r); err != nil {
			return err
		}
	}
}

func (q *request) client() (*http.Client, error) {
	ca, err := os.ReadFile(q.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("no certificate in %s", q.CA)
	}
	return &http.Client{Timeout: q.Timeout, Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, ServerName: q.ServerName, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: 25, // client-go's; one is used
		IdleConnTimeout:     10 * time.Minute,
		ForceAttemptHTTP2:   q.Negotiate,
		DisableCompression:  !q.Negotiate,
	}}, nil
}
