package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockName is a file in a state directory on which the run holds a lock, which
// the kernel releases when the run dies.
const lockName = "lock"

// A state is the directory of one run.
type state struct {
	dir  string
	lock *os.File
}

// newState makes a directory of the run's own, and removes what runs that died
// have left.
func newState() (*state, error) {
	base := filepath.Join(os.TempDir(), fmt.Sprintf("rollcall-cluster-%d", os.Getuid()))
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, err
	}
	// Whoever removes must not meet a directory that is new and not locked yet.
	guard, err := lockFile(filepath.Join(base, lockName), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	if err := sweep(base); err != nil {
		return nil, fmt.Errorf("remove what an earlier run left: %w", err)
	}
	// Short: the address of a Unix socket in it has room for 107 characters.
	dir := filepath.Join(base, strings.ToLower(rand.Text()[:8]))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, lockName), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return nil, err
	}
	return &state{dir, lock}, nil
}

// close removes the directory and the run's cgroups. It keeps the logs if so
// told, and says where.
func (s *state) close(keep bool, logs string) (kept string, err error) {
	defer s.lock.Close()
	id := filepath.Base(s.dir)
	if err := removeCgroups(CgroupName(id)); err != nil {
		return "", err
	}
	if !keep || logs == "" {
		return "", os.RemoveAll(s.dir)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if path := filepath.Join(s.dir, e.Name()); path != logs && e.Name() != lockName {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return logs, err
}

// sweep removes the directories below base whose run has died, and its cgroups.
func sweep(base string) error {
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		dir := filepath.Join(base, e.Name())
		lock, err := lockFile(filepath.Join(dir, lockName), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue // it lives
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, removeCgroups(CgroupName(e.Name())), os.RemoveAll(dir))
		lock.Close()
	}
	return errors.Join(errs...)
}

func lockFile(name string, how int) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}
