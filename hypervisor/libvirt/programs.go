package libvirt

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// saidKept is for how long an answer of QEMU's program is good. A build that thaws a machine asks for the same things three
// times in a second; a module that is installed for QEMU later is seen by the next one.
const saidKept = time.Minute

// programs remembers what QEMU's programs say of themselves, for a while and as long as their files stay the same.
type programs struct {
	now  func() time.Time
	mu   sync.Mutex
	said map[string]saying // by program and arguments
}

type saying struct {
	output  []byte
	size    int64
	changed time.Time // the program
	at      time.Time
}

// ask runs a program, unless it is known what it says.
func (p *programs) ask(ctx context.Context, program string, args ...string) ([]byte, error) {
	info, err := os.Stat(program)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	key := program + "\x00" + strings.Join(args, "\x00")
	p.mu.Lock()
	s, ok := p.said[key]
	p.mu.Unlock()
	if ok && s.size == info.Size() && s.changed.Equal(info.ModTime()) && p.now().Sub(s.at) < saidKept {
		return s.output, nil
	}
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return nil, fmt.Errorf("run %s %s: %w", program, strings.Join(args, " "), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said == nil {
		p.said = map[string]saying{}
	}
	p.said[key] = saying{out, info.Size(), info.ModTime(), p.now()}
	return out, nil
}
