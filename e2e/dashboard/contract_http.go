package dashboard

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"

	"golang.org/x/sync/errgroup"
)

func healthy(ctx context.Context, t *Target) error { return t.Client.Healthy(ctx) }

// isJSON checks status and type of an answer.
func isJSON(r Response) error { return is(r, "application/json") }

func is(r Response, want string) error {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || got != want || r.Status != http.StatusOK {
		return fmt.Errorf("status %d, %v, want %d and %s: %.300s", r.Status, r.Header, http.StatusOK, want, r.Body)
	}
	return nil
}

// paths are two that are answered with something.
func (t *Target) paths() [2]string {
	return [2]string{PodsPath(t.Namespace, t.Pods, CPU), NodePath(t.Nodes[0], Memory)}
}

// parameters checks that they are ignored: clients of old releases say how long they
// wait.
func parameters(ctx context.Context, t *Target) error {
	for _, path := range t.paths() {
		for _, query := range []string{"?timeout=32s", "?timeout=32s&window=1s&start=0&step=7&metrics=none&latest=true&colour=red", "?timeout=never", "?%zz"} {
			if err := same(ctx, "with "+query, t.told(path), t.toldOf(http.MethodGet, path+query, nil)); err != nil {
				return err
			}
		}
	}
	return nil
}

// acceptedTypes checks that an answer is JSON whatever is preferred.
func acceptedTypes(ctx context.Context, t *Target) error {
	for _, path := range t.paths() {
		for _, accept := range []string{
			"application/vnd.kubernetes.protobuf, */*", "application/vnd.kubernetes.protobuf,application/json",
			"application/vnd.kubernetes.protobuf", "application/json", "text/html,application/xhtml+xml", "",
		} {
			header := http.Header{"Accept": {accept}}
			if accept == "" {
				header = http.Header{}
			}
			if err := same(ctx, fmt.Sprintf("with Accept: %s", accept), t.told(path), t.toldOf(http.MethodGet, path, header)); err != nil {
				return err
			}
		}
	}
	return nil
}

// compression checks what comes back to those who unpack it themselves, and to those
// who don't want it.
func compression(ctx context.Context, t *Target) error {
	for _, path := range t.paths() {
		for _, accept := range []string{"gzip", "identity", "gzip;q=0", "br"} {
			err := same(ctx, "with Accept-Encoding: "+accept, t.told(path), func(ctx context.Context) (string, error) {
				resp, err := t.Client.Do(ctx, http.MethodGet, path, http.Header{"Accept-Encoding": {accept}})
				if err != nil {
					return "", err
				}
				if err := isJSON(resp); err != nil {
					return "", err
				}
				switch encoding := resp.Header.Get("Content-Encoding"); {
				case encoding == "gzip" && accept == "gzip":
					if resp.Body, err = unzip(resp.Body); err != nil {
						return "", err
					}
				case encoding != "":
					return "", fmt.Errorf("it is encoded as %s", encoding)
				}
				items, err := parse(resp.Body)
				return canonical(items), err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func unzip(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// heads checks that a HEAD is as a GET without a body.
func heads(ctx context.Context, t *Target) error {
	for _, path := range t.paths() {
		resp, err := t.Client.Do(ctx, http.MethodHead, path, nil)
		if err != nil {
			return err
		}
		if err := isJSON(resp); err != nil {
			return fmt.Errorf("HEAD of %s: %w", path, err)
		}
		if len(resp.Body) > 0 {
			return fmt.Errorf("HEAD of %s has a body: %.300s", path, resp.Body)
		}
	}
	resp, err := t.Client.Do(ctx, http.MethodHead, "/healthz", nil)
	if err == nil && resp.Status != http.StatusOK {
		err = fmt.Errorf("HEAD of /healthz: status %d", resp.Status)
	}
	return err
}

// otherPaths checks that what nobody knows is answered with some text.
func otherPaths(ctx context.Context, t *Target) error {
	for _, path := range []string{
		"/", "/nothing", "/nothing/at/all?x=y", root, root + "/", root + "/nodes", root + "/nodes/" + t.Nodes[0],
		NodePath(t.Nodes[0], "cpu"), NodePath(t.Nodes[0], "cpu/usage_rate/more"), NodePath(t.Nodes[0]+"/more", CPU),
		root + "/namespaces/" + t.Namespace, PodsPath(t.Namespace, t.Pods[:1], "cpu"), PodsPath(t.Namespace, t.Pods[:1], "cpu/usage_rate/more"),
		root + "/pods/" + t.Pods[0] + "/metrics/cpu/usage_rate",
	} {
		resp, err := t.Client.Do(ctx, http.MethodGet, path, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := is(resp, "text/plain"); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(resp.Body) == 0 {
			return fmt.Errorf("%s: no text", path)
		}
	}
	return nil
}

// pageSize is how many questions a page asks at once: for 50 nodes, CPU and memory.
const pageSize = 100

// pageAtOnce asks for nodes as a page of them does, without waiting for answers: each
// is answered, and with the node that it is about.
func pageAtOnce(ctx context.Context, t *Target) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range pageSize {
		name, m := t.Nodes[i/2%len(t.Nodes)], []Metric{CPU, Memory}[i%2]
		g.Go(func() error {
			items, err := t.items(ctx, NodePath(name, m))
			if err == nil && len(items) == 0 {
				err = notYetf("nothing is told of %s", name)
			}
			if err == nil && (len(items) != 1 || items[0].name != name) {
				err = fmt.Errorf("asked for %s, told of %d, the first of them %s", name, len(items), items[0].name)
			}
			return err
		})
	}
	return g.Wait()
}

// noRetries checks that no answer has asked for a retry.
func noRetries(_ context.Context, t *Target) error {
	if n := t.Client.RetryAfters(); n > 0 {
		return fmt.Errorf("%d answers had a Retry-After", n)
	}
	return nil
}
