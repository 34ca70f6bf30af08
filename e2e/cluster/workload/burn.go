package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// period is how often burn looks at what it has used: short against the 10 s
// over which a kubelet measures, long against a scheduler's slice.
const period = 50 * time.Millisecond

// burn uses as much CPU as told, by its own account, and holds memory.
func burn() command {
	flags := pflag.NewFlagSet("burn", pflag.ContinueOnError)
	millicores := flags.Int("millicores", 100, "CPU to use, in thousandths of one; more than 1000 need several")
	memory := flags.Int64("memory", 0, "bytes to hold, all of them touched")
	lasting := flags.Duration("for", 0, "end after that time; 0 is at SIGTERM")
	listen := flags.String("listen", "", "PUT /millicores there, with a number, changes what to use")
	return command{flags, func(ctx context.Context) error {
		if *memory < 0 || *lasting < 0 {
			return fmt.Errorf("--memory %d or --for %v is negative", *memory, *lasting)
		}
		b := &burner{}
		if err := b.set(*millicores); err != nil {
			return fmt.Errorf("--millicores: %w", err)
		}
		if *lasting > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, *lasting)
			defer cancel()
		}
		held := hold(*memory)
		began, before := time.Now(), used()
		for range max(1, (*millicores+999)/1000) {
			go b.spin(ctx)
		}
		if err := b.serve(ctx, *listen); err != nil {
			return err
		}
		_, err := fmt.Printf("used %v of CPU in %v, held %d bytes\n", used()-before, time.Since(began), len(held))
		runtime.KeepAlive(held) // its length alone does not, and Go collects garbage every two minutes
		return err
	}}
}

// A burner knows how much CPU is owed.
type burner struct {
	mu         sync.Mutex
	millicores int
	began      time.Time     // of these millicores
	before     time.Duration // used until then
}

// set changes what to use from now on. What was owed so far is forgotten.
func (b *burner) set(millicores int) error {
	if millicores < 0 {
		return fmt.Errorf("%d is negative", millicores)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.millicores, b.began, b.before = millicores, time.Now(), used()
	return nil
}

// owed is what should have been used by now, and was not.
func (b *burner) owed() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	due := time.Duration(float64(time.Since(b.began)) * float64(b.millicores) / 1000)
	return due - (used() - b.before)
}

// spin works off what is owed, once a period. It may be run several times at once:
// what one works off, the next is not owed.
func (b *burner) spin(ctx context.Context) {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// Not without end, if there is less CPU than is asked for.
		for end := time.Now().Add(2 * period); b.owed() > 0 && time.Now().Before(end); {
		}
	}
}

// serve takes orders until ctx ends, or just waits for that.
func (b *burner) serve(ctx context.Context, listen string) error {
	if listen == "" {
		<-ctx.Done()
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /millicores", func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Fscan(http.MaxBytesReader(w, r.Body, 100), &n); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		} else if err := b.set(n); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	return serveHTTP(ctx, listen, mux)
}

// used is the CPU time of this process, as the kernel counts it.
func used() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // it cannot fail for the process itself
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// hold returns memory that the kernel had to give: a page that was never
// written to counts for nothing.
func hold(bytes int64) []byte {
	held := make([]byte, bytes)
	for i := 0; i < len(held); i += os.Getpagesize() {
		held[i] = 1
	}
	return held
}
