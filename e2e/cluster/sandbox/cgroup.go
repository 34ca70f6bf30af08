package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// CgroupName is the name of the cgroup of a run, in each hierarchy.
func CgroupName(id string) string { return "rollcall-cluster-" + id }

// MakeCgroup makes a cgroup of the sandbox in all hierarchies and returns its
// path in them. It goes with the sandbox.
func MakeCgroup(name string) (string, error) {
	path := ownCgroup(name)
	if _, err := os.Stat(cgroupMount + "/cgroup.controllers"); err == nil {
		return path, makeUnified(path)
	}
	hierarchies, err := os.ReadDir(cgroupMount)
	if err != nil {
		return "", err
	}
	for _, h := range hierarchies {
		// Links are second names: cpu,cpuacct.
		if !h.IsDir() || h.Name() == "unified" {
			continue
		}
		root := filepath.Join(cgroupMount, h.Name())
		if err := os.MkdirAll(root+path, 0o755); err != nil {
			return "", fmt.Errorf("make cgroup: %w", err)
		}
		if err := inheritCPUSet(root, path); err != nil {
			return "", fmt.Errorf("make cgroup: %w", err)
		}
	}
	return path, nil
}

// RemoveCgroup removes what MakeCgroup made, and what was made in it, once its
// processes have ended.
func RemoveCgroup(name string) error { return removeCgroups(ownCgroup(name)) }

func ownCgroup(name string) string {
	return "/" + CgroupName(filepath.Base(OuterDir())) + "/" + name
}

// inheritCPUSet gives the cgroups on path the processors and the memory of
// their parents: in version 1 they start with none, and take no process.
func inheritCPUSet(root, path string) error {
	dir := root
	for step := range strings.SplitSeq(path[1:], "/") {
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(dir, file))
			if errors.Is(err, os.ErrNotExist) {
				return nil // another controller's hierarchy
			}
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, step, file), value, 0o644); err != nil {
				return err
			}
		}
		dir = filepath.Join(dir, step)
	}
	return nil
}

// makeUnified makes a cgroup of version 2, with all of its parent's controllers.
func makeUnified(path string) error {
	dir := cgroupMount
	for step := range strings.SplitSeq(path[1:], "/") {
		controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return err
		}
		for c := range strings.FieldsSeq(string(controllers)) {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644); err != nil {
				return fmt.Errorf("pass on controller %s: %w", c, err)
			}
		}
		dir = filepath.Join(dir, step)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("make cgroup: %w", err)
		}
	}
	return nil
}

// removeWithin is how long cgroups may hold processes after init's death: the
// kernel has killed them and is about to let them go.
const removeWithin = 10 * time.Second

// removeCgroups removes a cgroup and those in it, in every hierarchy.
func removeCgroups(path string) error {
	roots, err := filepath.Glob(filepath.Join(cgroupMount, "*", path))
	if err != nil {
		return err
	}
	roots = append(roots, filepath.Join(cgroupMount, path)) // version 2
	deadline := time.Now().Add(removeWithin)
	for _, root := range roots {
		for {
			err := removeTree(root)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("remove cgroup %s: %w", root, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// removeTree removes a cgroup and those in it; there is nothing to wait on but
// the attempt.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return err
	}
	return nil
}
