package main

import (
	"context"
	"fmt"
	"os"
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
	return command{flags, func(ctx context.Context) error {
		if *millicores < 0 || *memory < 0 {
			return fmt.Errorf("--millicores %d or --memory %d is negative", *millicores, *memory)
		}
		held := hold(*memory)
		threads := max(1, (*millicores+999)/1000)
		began, before := time.Now(), used()
		for range threads {
			go spin(ctx, func() time.Duration {
				due := time.Duration(float64(time.Since(began)) * float64(*millicores) / 1000)
				return (due - (used() - before)) / time.Duration(threads)
			})
		}
		<-ctx.Done()
		_, err := fmt.Printf("used %v of CPU in %v, held %d bytes\n", used()-before, time.Since(began), len(held))
		return err
	}}
}

// spin works off what is owed, once a period.
func spin(ctx context.Context, owed func() time.Duration) {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// Not without end, if there is less CPU than is asked for.
		for end := time.Now().Add(min(owed(), 2*period)); time.Now().Before(end); {
		}
	}
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
