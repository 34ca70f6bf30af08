package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPrepare needs root, as the init container has it.
func TestPrepare(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "rollcall")
	deep := filepath.Join(dir, "ring", "deep")
	if err := os.MkdirAll(deep, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(deep, "000001.sst"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	// Of another user, who kept root out of it.
	if err := os.Chown(filepath.Join(dir, "ring"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	p := &preparation{dir: dir, uid: 65532, gid: 65532}
	for range 2 { // the second time everything is the agent's
		if err := p.prepare(); err != nil {
			t.Fatal(err)
		}
		for path, mode := range map[string]os.FileMode{
			dir: 0o700, filepath.Join(dir, "ring"): 0o700, deep: 0o700, filepath.Join(deep, "000001.sst"): 0o600,
		} {
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if s := info.Sys().(*syscall.Stat_t); s.Uid != 65532 || s.Gid != 65532 || info.Mode().Perm() != mode {
				t.Errorf("%s is of %d:%d with mode %v", path, s.Uid, s.Gid, info.Mode().Perm())
			}
		}
	}
	if info, err := os.Stat(outside); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("followed a link: %v, %v", info, err)
	}
}

// The agent starts without its directory, too: see the sampler's and the ring's
// tests.
func TestPrepareFailsWell(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"absent": filepath.Join(file, "absent"), "a file": file} {
		t.Run(name, func(t *testing.T) {
			c := Prepare()
			p := c.Config.(*preparation)
			p.dir, p.uid, p.gid = dir, 65532, 65532
			if err := p.prepare(); err == nil {
				t.Error("no error")
			}
			if err := c.Run(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
				t.Errorf("the init container would fail, and the agent with it: %v", err)
			}
		})
	}
}
