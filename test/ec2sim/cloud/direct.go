package cloud

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/google/uuid"
)

// BlockSize is the size of a block of the EBS direct APIs, in bytes.
const BlockSize = 512 << 10

// writing is a snapshot that is being written block by block.
type writing struct {
	file   *os.File
	blocks map[int64][sha256.Size]byte
}

// operation is one of EBS direct, which is REST with JSON.
type operation struct {
	name   string
	method string
	path   *regexp.Regexp
	do     func(c *Cloud, r *http.Request, reg *region, args []string) (reply, error)
}

// reply is an answer: data, or else JSON.
type reply struct {
	status int
	header map[string]string
	json   any
	data   []byte
}

// operations are what EBS direct answers to. They read what a request says before, and change things under the cloud's lock.
var operations = []operation{
	{"StartSnapshot", http.MethodPost, regexp.MustCompile(`^/snapshots$`), (*Cloud).startSnapshot},
	{"PutSnapshotBlock", http.MethodPut, regexp.MustCompile(`^/snapshots/([^/]+)/blocks/(\d+)$`), (*Cloud).putBlock},
	{"CompleteSnapshot", http.MethodPost, regexp.MustCompile(`^/snapshots/completion/([^/]+)$`), (*Cloud).completeSnapshot},
	{"ListSnapshotBlocks", http.MethodGet, regexp.MustCompile(`^/snapshots/([^/]+)/blocks$`), (*Cloud).listBlocks},
	{"GetSnapshotBlock", http.MethodGet, regexp.MustCompile(`^/snapshots/([^/]+)/blocks/(\d+)$`), (*Cloud).getBlock},
}

// directOperation is the one that a request asks for, with what its path names.
func directOperation(r *http.Request) (operation, []string) {
	for _, op := range operations {
		if m := op.path.FindStringSubmatch(r.URL.Path); m != nil && op.method == r.Method {
			return op, m[1:]
		}
	}
	return operation{}, nil
}

// direct answers a request of EBS direct.
func (c *Cloud) direct(w http.ResponseWriter, r *http.Request, s scope, op operation, args []string) {
	out, err := c.operate(r, s, op, args)
	if err != nil {
		c.cfg.Log.Info("refused", "action", op.name, "path", r.URL.Path, "err", err)
		failJSON(w, err)
		return
	}
	for k, v := range out.header {
		w.Header().Set(k, v)
	}
	if out.data == nil {
		writeJSON(w, out.status, out.json)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(out.status)
	_, _ = w.Write(out.data) // whoever went away needs no answer
}

func (c *Cloud) operate(r *http.Request, s scope, op operation, args []string) (reply, error) {
	if op.name == "" {
		return reply{}, invalid("UnknownOperation", "there is no %s %s", r.Method, r.URL.Path)
	}
	c.mu.Lock()
	reg, err := c.admit(op.name, s, r)
	c.mu.Unlock()
	if err != nil {
		return reply{}, err
	}
	return op.do(c, r, reg, args)
}

// invalid is a ValidationException with a reason.
func invalid(reason, format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Code: "ValidationException:" + reason, Message: fmt.Sprintf(format, args...)}
}

func failJSON(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Status: http.StatusInternalServerError, Code: "InternalServerException", Message: err.Error()}
	}
	kind, reason := exception(e.Code)
	w.Header().Set("x-amzn-ErrorType", kind)
	w.Header().Set("x-amzn-RequestId", uuid.NewString())
	writeJSON(w, e.Status, map[string]string{"Message": e.Message, "Reason": reason})
}

// ebsKinds are the exceptions of EBS direct for the codes of EC2 that faults name.
var ebsKinds = map[string]string{
	"RequestLimitExceeded": "RequestThrottledException", "Throttling": "RequestThrottledException", "AccessDenied": "AccessDeniedException",
	"AuthFailure": "AccessDeniedException", "RequestExpired": "ExpiredTokenException", "ExpiredToken": "ExpiredTokenException",
	"InternalError": "InternalServerException", "Unavailable": "InternalServerException",
}

// exception is that of EBS direct for the code of an error, with its reason.
func exception(code string) (kind, reason string) {
	if kind, reason, ok := strings.Cut(code, ":"); ok {
		return kind, reason
	}
	if kind, ok := ebsKinds[code]; ok {
		return kind, code
	}
	return code, ""
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever went away needs no answer
}

func noSnapshot(id string) error {
	return &Error{Status: http.StatusNotFound, Code: "ResourceNotFoundException:SNAPSHOT_NOT_FOUND", Message: "The snapshot '" + id + "' does not exist."}
}

// startRequest is what StartSnapshot is asked.
type startRequest struct {
	VolumeSize       int64
	ParentSnapshotID string `json:"ParentSnapshotId"`
	Description      string
	ClientToken      string
	Encrypted        bool
	KmsKeyArn        string
	Timeout          int
	Tags             []struct{ Key, Value string }
}

func (in startRequest) check() error {
	switch {
	case in.VolumeSize < 1 || in.VolumeSize > 64<<10:
		return invalid("INVALID_VOLUME_SIZE", "VolumeSize %d is not between 1 and 65536", in.VolumeSize)
	case in.ParentSnapshotID != "":
		return invalid("INVALID_PARAMETER_VALUE", "ParentSnapshotId is not simulated")
	case in.KmsKeyArn != "" && !in.Encrypted:
		return invalid("INVALID_PARAMETER_VALUE", "KmsKeyArn needs Encrypted")
	}
	return nil
}

func (c *Cloud) startSnapshot(r *http.Request, reg *region, _ []string) (reply, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return reply{}, err
	}
	var in startRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return reply{}, invalid("INVALID_PARAMETER_VALUE", "%v", err)
	}
	if err := in.check(); err != nil {
		return reply{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := "StartSnapshot " + in.ClientToken
	if t, again := reg.tokens[key]; again && in.ClientToken != "" {
		if t.request != string(body) {
			return reply{}, &Error{Status: http.StatusConflict, Code: "ConflictException", Message: "The request uses the same client token as a previous, but non-identical request."}
		}
		return started(reg.snapshots[t.made])
	}
	s := &snapshot{object: c.fresh("snap", "StartSnapshot"), size: in.VolumeSize, state: snapPending, description: in.Description, volume: noVolume}
	if in.Encrypted {
		s.key = reg.kms(in.KmsKeyArn)
	}
	for _, t := range in.Tags {
		s.tags[t.Key] = t.Value
	}
	if s.writing, err = c.startWriting(s); err != nil {
		return reply{}, err
	}
	reg.snapshots[s.id] = s
	if in.ClientToken != "" {
		reg.tokens[key] = token{string(body), s.id}
	}
	return started(s)
}

func (c *Cloud) startWriting(s *snapshot) (*writing, error) {
	f, err := os.Create(c.snapshotFile(s.id))
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(s.size * gib); err != nil {
		f.Close()
		return nil, err
	}
	return &writing{file: f, blocks: map[int64][sha256.Size]byte{}}, nil
}

func started(s *snapshot) (reply, error) {
	if s == nil {
		return reply{}, invalid("INVALID_PARAMETER_VALUE", "the snapshot of that ClientToken was deleted")
	}
	answer := map[string]any{"SnapshotId": s.id, "OwnerId": Account, "Status": s.state, "StartTime": s.born.Unix(),
		"VolumeSize": s.size, "BlockSize": BlockSize, "Description": s.description}
	if s.key != "" {
		answer["KmsKeyArn"] = s.key
	}
	return reply{status: http.StatusCreated, json: answer}, nil
}

// open is a snapshot that blocks can still be written to; c.mu is held.
func (r *region) open(id string) (*snapshot, error) {
	s, found := r.snapshots[id]
	switch {
	case !found:
		return nil, noSnapshot(id)
	case s.writing == nil:
		return nil, invalid("INVALID_SNAPSHOT_STATE", "The snapshot %s is not pending", id)
	}
	return s, nil
}

// block is what PutSnapshotBlock brings, checked.
func block(r *http.Request) (data []byte, sum [sha256.Size]byte, err error) {
	if data, err = io.ReadAll(io.LimitReader(r.Body, BlockSize+1)); err != nil {
		return nil, sum, err
	}
	sum = sha256.Sum256(data)
	switch {
	case len(data) != BlockSize || r.Header.Get("x-amz-Data-Length") != strconv.Itoa(BlockSize):
		err = invalid("INVALID_BLOCK", "a block has %d bytes, not %d", BlockSize, len(data))
	case r.Header.Get("x-amz-Checksum-Algorithm") != "SHA256":
		err = invalid("INVALID_PARAMETER_VALUE", "the checksum's algorithm must be SHA256")
	case r.Header.Get("x-amz-Checksum") != base64.StdEncoding.EncodeToString(sum[:]):
		err = invalid("INVALID_CONTENT_CHECKSUM", "the checksum does not match the block")
	}
	return data, sum, err
}

func (c *Cloud) putBlock(r *http.Request, reg *region, args []string) (reply, error) {
	data, sum, err := block(r)
	if err != nil {
		return reply{}, err
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return reply{}, invalid("INVALID_BLOCK", "block %s", args[1])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := reg.open(args[0])
	if err != nil {
		return reply{}, err
	}
	if n < 0 || (n+1)*BlockSize > s.size*gib {
		return reply{}, invalid("INVALID_BLOCK", "block %d is outside of a volume of %d GiB", n, s.size)
	}
	if _, err := s.writing.file.WriteAt(data, n*BlockSize); err != nil {
		return reply{}, err
	}
	s.writing.blocks[n] = sum
	return reply{status: http.StatusCreated, json: struct{}{},
		header: map[string]string{"x-amz-Checksum": base64.StdEncoding.EncodeToString(sum[:]), "x-amz-Checksum-Algorithm": "SHA256"}}, nil
}

// linear is the checksum of a snapshot: the sha256 over those of its blocks, in their order.
func (wr *writing) linear() string {
	h := sha256.New()
	for _, n := range slices.Sorted(maps.Keys(wr.blocks)) {
		sum := wr.blocks[n]
		h.Write(sum[:])
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func (c *Cloud) completeSnapshot(r *http.Request, reg *region, args []string) (reply, error) {
	changed, err := strconv.Atoi(r.Header.Get("x-amz-ChangedBlocksCount"))
	if err != nil {
		return reply{}, invalid("INVALID_PARAMETER_VALUE", "ChangedBlocksCount: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := reg.open(args[0])
	if err != nil {
		return reply{}, err
	}
	if changed != 0 && changed != len(s.writing.blocks) {
		return reply{}, invalid("INVALID_PARAMETER_VALUE", "ChangedBlocksCount is %d, but %d blocks were written", changed, len(s.writing.blocks))
	}
	if sum := r.Header.Get("x-amz-Checksum"); sum != "" && sum != s.writing.linear() {
		return reply{}, invalid("INVALID_CONTENT_CHECKSUM", "the checksum does not match the blocks")
	}
	err = s.writing.file.Close()
	s.writing = nil
	s.state, s.ready = snapCompleted, time.Now().Add(c.cfg.Pace)
	if err != nil || c.spoiled("CompleteSnapshot", SnapshotFails) {
		s.state, s.message = snapError, "the snapshot could not be completed"
	}
	return reply{status: http.StatusAccepted, json: map[string]string{"Status": snapPending}}, err
}

// Blocks tells which blocks of a snapshot hold something, in any region.
func (c *Cloud) Blocks(id string) ([]int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.regions {
		if s := r.snapshots[id]; s != nil {
			return c.filled(s)
		}
	}
	return nil, missingSnapshot(id)
}

// filled are the blocks of a snapshot that hold something.
func (c *Cloud) filled(s *snapshot) ([]int64, error) {
	f, err := os.Open(c.snapshotFile(s.id))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []int64
	block, zero := make([]byte, BlockSize), make([]byte, BlockSize)
	look := func(n int64) error {
		if _, err := f.ReadAt(block, n*BlockSize); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !bytes.Equal(block, zero) && (len(found) == 0 || found[len(found)-1] < n) {
			found = append(found, n)
		}
		return nil
	}
	err = fsx.EachExtent(f, s.size*gib, func(e fsx.Extent) error {
		for n := e.Start / BlockSize; !e.Hole && n*BlockSize < e.End; n++ {
			if err := look(n); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// blockToken is what a list of blocks gives out for each.
func blockToken(snapshot string, n int64) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s/%d", snapshot, n))
}

func (c *Cloud) listBlocks(r *http.Request, reg *region, args []string) (reply, error) {
	first, err := strconv.ParseInt(cmp.Or(r.URL.Query().Get("startingBlockIndex"), "0"), 10, 64)
	if err != nil {
		return reply{}, invalid("INVALID_PARAMETER_VALUE", "StartingBlockIndex: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, found := reg.snapshots[args[0]]
	if !found {
		return reply{}, noSnapshot(args[0])
	}
	filled, err := c.filled(s)
	if err != nil {
		return reply{}, err
	}
	type block struct {
		BlockIndex int64
		BlockToken string
	}
	blocks := []block{}
	for _, n := range filled {
		if n >= first {
			blocks = append(blocks, block{n, blockToken(s.id, n)})
		}
	}
	return reply{status: http.StatusOK, json: map[string]any{"Blocks": blocks, "VolumeSize": s.size, "BlockSize": BlockSize, "ExpiryTime": time.Now().Unix() + 3600}}, nil
}

func (c *Cloud) getBlock(r *http.Request, reg *region, args []string) (reply, error) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil || r.URL.Query().Get("blockToken") != blockToken(args[0], n) {
		return reply{}, invalid("INVALID_BLOCK_TOKEN", "the token is not that of block %s", args[1])
	}
	c.mu.Lock()
	s, found := reg.snapshots[args[0]]
	c.mu.Unlock()
	if !found {
		return reply{}, noSnapshot(args[0])
	}
	f, err := os.Open(c.snapshotFile(s.id))
	if err != nil {
		return reply{}, err
	}
	defer f.Close()
	data := make([]byte, BlockSize)
	if _, err := f.ReadAt(data, n*BlockSize); err != nil && !errors.Is(err, io.EOF) {
		return reply{}, err
	}
	sum := sha256.Sum256(data)
	return reply{status: http.StatusOK, data: data, header: map[string]string{"x-amz-Checksum": base64.StdEncoding.EncodeToString(sum[:]),
		"x-amz-Checksum-Algorithm": "SHA256", "x-amz-Data-Length": strconv.Itoa(BlockSize)}}, nil
}
