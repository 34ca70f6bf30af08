package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/pkg/cli"
)

const aboutPrepare = `
Makes a directory on the node fit for the history, and then ends.

It runs as root in an init container, with no capability but CHOWN and FOWNER,
so that the agent itself need not be root. If it cannot do it, it says so and
ends well all the same: the agent then keeps its history in memory, and
/readyz and /metrics tell.

  rollcall-agent prepare --data-dir /var/lib/rollcall`

// preparation are the settings of the subcommand.
type preparation struct {
	dir      string
	uid, gid int
}

// AddFlags implements [cli.Config].
func (p *preparation) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&p.dir, "data-dir", "/var/lib/rollcall", "directory of the history, which must exist")
	fs.IntVar(&p.uid, "uid", 65532, "user that the agent runs as")
	fs.IntVar(&p.gid, "gid", 65532, "group that the agent runs as")
}

// Validate implements [cli.Config].
func (p *preparation) Validate() error {
	switch {
	case p.dir == "":
		return errors.New("--data-dir is empty")
	case p.uid < 0 || p.gid < 0:
		return fmt.Errorf("--uid %d or --gid %d is negative", p.uid, p.gid)
	}
	return nil
}

// Prepare is the subcommand that makes the data directory the agent's.
func Prepare() cli.Command {
	p := &preparation{}
	return cli.Command{
		Name: "prepare", About: aboutPrepare, Config: p,
		Run: func(_ context.Context, log *slog.Logger) error {
			if err := p.prepare(); err != nil {
				log.Error("data directory not prepared, the agent will keep its history in memory", "dir", p.dir, "err", err)
				return nil
			}
			log.Info("data directory prepared", "dir", p.dir, "uid", p.uid, "gid", p.gid)
			return nil
		},
	}
}

// prepare gives the directory, and what is in it, to the agent. What was the
// agent's before is left alone.
//
// Root without its other capabilities cannot even look into somebody else's
// directory; so each is made our own first, which also keeps others from changing
// it under our hands, and the agent's last.
func (p *preparation) prepare() error {
	info, err := os.Lstat(p.dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", p.dir)
	}
	if p.owns(info) {
		return nil
	}
	if err := errors.Join(os.Lchown(p.dir, os.Geteuid(), os.Getegid()), os.Chmod(p.dir, private)); err != nil {
		return err
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return p.give(root, ".")
}

// private is the mode of directories: for their owner only.
const private = 0o700

// give gives a directory of ours to the agent, after what is in it. It follows no
// links.
func (p *preparation) give(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, name := range names {
		name = filepath.Join(dir, name)
		info, err := root.Lstat(name)
		switch {
		case err != nil:
		case p.owns(info):
		case !info.IsDir():
			err = root.Lchown(name, p.uid, p.gid)
		default:
			err = errors.Join(root.Lchown(name, os.Geteuid(), os.Getegid()), root.Chmod(name, private))
			if err == nil {
				err = p.give(root, name)
			}
		}
		if err != nil {
			return err
		}
	}
	return root.Lchown(dir, p.uid, p.gid)
}

// owns tells whether it is the agent's already; a directory only if nobody else
// can use it.
func (p *preparation) owns(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == p.uid && int(s.Gid) == p.gid && (!info.IsDir() || info.Mode().Perm() == private)
}
