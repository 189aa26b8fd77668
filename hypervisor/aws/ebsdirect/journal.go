package ebsdirect

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// journal is the file that knows how far a Write came: a head of JSON, padded with spaces, then a bit for each block. The bits are
// written without a sync: one that is lost costs that a block is sent again.
type journal struct {
	path string
	file *os.File // nil for none
	head journalHead
	// resumed says that it was there.
	resumed bool

	mu   sync.Mutex
	bits []byte
}

type journalHead struct {
	Format int    `json:"boxkiln-ebs-journal"`
	Region string `json:"region"`
	GiB    int64  `json:"gib"`
	// Token is that of StartSnapshot. It is written first: whoever finds it without a snapshot gets the same one.
	Token    string `json:"token"`
	Snapshot string `json:"snapshot,omitempty"`
}

const (
	journalFormat = 1
	headSize      = 4 << 10
	blocksOfGiB   = gib / BlockSize
)

// openJournal goes on with the journal at path, or begins one.
func openJournal(path, region string, size int64) (*journal, error) {
	head := journalHead{Format: journalFormat, Region: region, GiB: size, Token: rand.Text()}
	if path == "" {
		return &journal{head: head}, nil
	}
	j, err := readJournal(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newJournal(path, head)
	}
	if err != nil {
		return nil, err
	}
	if j.head.Region != region || j.head.GiB != size {
		j.close()
		return nil, fmt.Errorf("%q is the journal of an import of %d GiB into %s, not of %d GiB into %s: remove that snapshot (%s) and the file",
			path, j.head.GiB, j.head.Region, size, region, j.head.Snapshot)
	}
	return j, nil
}

func newJournal(path string, head journalHead) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{path: path, file: f, head: head, bits: make([]byte, head.GiB*blocksOfGiB/8)}
	if err := j.write(); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// readJournal reads a journal. One that is not whole is of a Write that asked for nothing yet: it counts as not there.
func readJournal(path string) (*journal, error) {
	if path == "" {
		return nil, fs.ErrNotExist
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	j := &journal{path: path, file: f, resumed: true}
	if err := j.read(); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

func (j *journal) read() error {
	head := make([]byte, headSize)
	if _, err := io.ReadFull(j.file, head); err != nil {
		return fs.ErrNotExist
	}
	if err := json.Unmarshal(bytes.TrimRight(head, " "), &j.head); err != nil || j.head.Token == "" {
		return fs.ErrNotExist
	}
	if j.head.Format != journalFormat || j.head.GiB < 1 || j.head.GiB > maxGiB {
		return fmt.Errorf("%q is a journal that this version does not know: remove it, and the snapshot %s", j.path, j.head.Snapshot)
	}
	j.bits = make([]byte, j.head.GiB*blocksOfGiB/8)
	if _, err := io.ReadFull(j.file, j.bits); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil
}

// write writes the head, durably.
func (j *journal) write() error {
	text, err := json.Marshal(j.head)
	if err != nil {
		return err
	}
	head := bytes.Repeat([]byte(" "), headSize)
	copy(head, text)
	if _, err := j.file.WriteAt(head, 0); err != nil {
		return err
	}
	return j.file.Sync()
}

// begun notes which snapshot is written.
func (j *journal) begun(id string) error {
	j.head.Snapshot = id
	if j.file == nil {
		return nil
	}
	return j.write()
}

// has tells whether a block was sent.
func (j *journal) has(index int64) bool {
	if j.file == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bits[index/8]&(1<<(index%8)) != 0
}

// sent notes that a block has arrived.
func (j *journal) sent(index int64) error {
	if j.file == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bits[index/8] |= 1 << (index % 8)
	_, err := j.file.WriteAt(j.bits[index/8:index/8+1], headSize+index/8)
	return err
}

func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close() // what matters was synced
	}
}

// remove ends the journal.
func (j *journal) remove() error {
	if j.path == "" {
		return nil
	}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
