package cloud

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// BlockSize is the size of a block of the EBS direct APIs, in bytes.
const BlockSize = 512 << 10

// writing is a snapshot that is being written block by block.
type writing struct {
	file   *os.File
	blocks map[int64][sha256.Size]byte
}

var (
	snapshotsPath = regexp.MustCompile(`^/snapshots$`)
	blockPath     = regexp.MustCompile(`^/snapshots/([^/]+)/blocks/(\d+)$`)
	blocksPath    = regexp.MustCompile(`^/snapshots/([^/]+)/blocks$`)
	endPath       = regexp.MustCompile(`^/snapshots/completion/([^/]+)$`)
)

// direct answers a request of EBS direct, which is REST with JSON.
func (c *Cloud) direct(w http.ResponseWriter, r *http.Request, s scope) {
	var err error
	name := ""
	switch path := r.URL.Path; {
	case r.Method == http.MethodPost && snapshotsPath.MatchString(path):
		name = "StartSnapshot"
		err = c.startSnapshot(w, r, s)
	case r.Method == http.MethodPut && blockPath.MatchString(path):
		name = "PutSnapshotBlock"
		m := blockPath.FindStringSubmatch(path)
		err = c.putBlock(w, r, s, m[1], m[2])
	case r.Method == http.MethodPost && endPath.MatchString(path):
		name = "CompleteSnapshot"
		err = c.completeSnapshot(w, r, s, endPath.FindStringSubmatch(path)[1])
	case r.Method == http.MethodGet && blocksPath.MatchString(path):
		name = "ListSnapshotBlocks"
		err = c.listBlocks(w, r, s, blocksPath.FindStringSubmatch(path)[1])
	case r.Method == http.MethodGet && blockPath.MatchString(path):
		name = "GetSnapshotBlock"
		m := blockPath.FindStringSubmatch(path)
		err = c.getBlock(w, s, m[1], m[2])
	default:
		err = invalid("UnknownOperation", "there is no %s %s", r.Method, path)
	}
	if err != nil {
		c.cfg.Log.Info("refused", "action", name, "path", r.URL.Path, "err", err)
		failJSON(w, err)
	}
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
var ebsKinds = map[string]string{"RequestLimitExceeded": "RequestThrottledException", "Throttling": "RequestThrottledException", "UnauthorizedOperation": "AccessDeniedException",
	"InternalError": "InternalServerException", "Unavailable": "InternalServerException"}

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

// begin counts a call, which fails as those of the Query protocol do; c.mu is held.
func (c *Cloud) begin(name string, s scope) (*region, error) {
	c.calls[name]++
	if !slices.Contains(known, s.region) {
		return nil, &Error{Status: http.StatusForbidden, Code: "AccessDeniedException:INVALID_REGION", Message: "no such region"}
	}
	if err := c.fault(name, s); err != nil {
		return nil, err
	}
	return c.region(s.region), nil
}

func (c *Cloud) startSnapshot(w http.ResponseWriter, r *http.Request, sc scope) error {
	var in struct {
		VolumeSize  int64
		Description string
		ClientToken string
		Encrypted   bool
		Tags        []struct{ Key, Value string }
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&in); err != nil {
		return invalid("INVALID_PARAMETER_VALUE", "%v", err)
	}
	if in.VolumeSize < 1 || in.VolumeSize > 64<<10 {
		return invalid("INVALID_VOLUME_SIZE", "VolumeSize %d is not between 1 and 65536", in.VolumeSize)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	reg, err := c.begin("StartSnapshot", sc)
	if err != nil {
		return err
	}
	key := "ebs " + in.ClientToken
	if t, again := reg.tokens[key]; again && in.ClientToken != "" {
		return started(w, reg.snapshots[t.made])
	}
	s := &snapshot{object: c.object("snap"), size: in.VolumeSize, state: snapPending, description: in.Description, volume: "vol-ffffffff"}
	for _, t := range in.Tags {
		s.tags[t.Key] = t.Value
	}
	f, err := os.Create(c.snapshotFile(s.id))
	if err != nil {
		return err
	}
	if err := f.Truncate(in.VolumeSize * gib); err != nil {
		f.Close()
		return err
	}
	s.writing = &writing{file: f, blocks: map[int64][sha256.Size]byte{}}
	reg.snapshots[s.id] = s
	if in.ClientToken != "" {
		reg.tokens[key] = token{made: s.id}
	}
	return started(w, s)
}

func started(w http.ResponseWriter, s *snapshot) error {
	if s == nil {
		return invalid("INVALID_PARAMETER_VALUE", "the snapshot of that ClientToken was deleted")
	}
	writeJSON(w, http.StatusCreated, map[string]any{"SnapshotId": s.id, "OwnerId": Account, "Status": s.state, "StartTime": s.born.Unix(),
		"VolumeSize": s.size, "BlockSize": BlockSize, "Description": s.description})
	return nil
}

// open is a snapshot that blocks can still be written to; c.mu is held.
func (r *region) open(id string) (*snapshot, error) {
	s, found := r.snapshots[id]
	switch {
	case !found:
		return nil, &Error{Status: http.StatusNotFound, Code: "ResourceNotFoundException:SNAPSHOT_NOT_FOUND", Message: "The snapshot '" + id + "' does not exist."}
	case s.writing == nil:
		return nil, invalid("INVALID_SNAPSHOT_STATE", "The snapshot %s is not pending", id)
	}
	return s, nil
}

func (c *Cloud) putBlock(w http.ResponseWriter, r *http.Request, sc scope, id, index string) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, BlockSize+1))
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(index, 10, 64)
	if err != nil {
		return invalid("INVALID_BLOCK", "block %s", index)
	}
	sum := sha256.Sum256(data)
	encoded := base64.StdEncoding.EncodeToString(sum[:])
	switch {
	case len(data) != BlockSize || r.Header.Get("x-amz-Data-Length") != strconv.Itoa(BlockSize):
		return invalid("INVALID_BLOCK", "a block has %d bytes, not %d", BlockSize, len(data))
	case r.Header.Get("x-amz-Checksum-Algorithm") != "SHA256":
		return invalid("INVALID_PARAMETER_VALUE", "the checksum's algorithm must be SHA256")
	case r.Header.Get("x-amz-Checksum") != encoded:
		return invalid("INVALID_CONTENT_CHECKSUM", "the checksum does not match the block")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	reg, err := c.begin("PutSnapshotBlock", sc)
	if err != nil {
		return err
	}
	s, err := reg.open(id)
	if err != nil {
		return err
	}
	if n < 0 || (n+1)*BlockSize > s.size*gib {
		return invalid("INVALID_BLOCK", "block %d is outside of a volume of %d GiB", n, s.size)
	}
	if _, err := s.writing.file.WriteAt(data, n*BlockSize); err != nil {
		return err
	}
	s.writing.blocks[n] = sum
	w.Header().Set("x-amz-Checksum", encoded)
	w.Header().Set("x-amz-Checksum-Algorithm", "SHA256")
	writeJSON(w, http.StatusCreated, map[string]any{})
	return nil
}

// linear is the checksum of a snapshot: the sha256 over those of its blocks, in their order.
func (wr *writing) linear() string {
	var order []int64
	for n := range wr.blocks {
		order = append(order, n)
	}
	slices.Sort(order)
	h := sha256.New()
	for _, n := range order {
		sum := wr.blocks[n]
		h.Write(sum[:])
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func (c *Cloud) completeSnapshot(w http.ResponseWriter, r *http.Request, sc scope, id string) error {
	changed, err := strconv.Atoi(r.Header.Get("x-amz-ChangedBlocksCount"))
	if err != nil {
		return invalid("INVALID_PARAMETER_VALUE", "ChangedBlocksCount: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	reg, err := c.begin("CompleteSnapshot", sc)
	if err != nil {
		return err
	}
	s, err := reg.open(id)
	if err != nil {
		return err
	}
	if changed != 0 && changed != len(s.writing.blocks) {
		return invalid("INVALID_PARAMETER_VALUE", "ChangedBlocksCount is %d, but %d blocks were written", changed, len(s.writing.blocks))
	}
	if sum := r.Header.Get("x-amz-Checksum"); sum != "" && sum != s.writing.linear() {
		return invalid("INVALID_CONTENT_CHECKSUM", "the checksum does not match the blocks")
	}
	err = s.writing.file.Close()
	s.writing = nil
	s.state, s.ready = snapCompleted, s.born.Add(c.cfg.Pace)
	if err != nil || c.spoiled("CompleteSnapshot", SnapshotFails) {
		s.state, s.message = snapError, "the snapshot could not be completed"
	}
	writeJSON(w, http.StatusAccepted, map[string]string{"Status": snapPending})
	return err
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

func (c *Cloud) filled(s *snapshot) ([]int64, error) {
	f, err := os.Open(c.snapshotFile(s.id))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []int64
	block, zero := make([]byte, BlockSize), make([]byte, BlockSize)
	for n := int64(0); n < s.size*gib/BlockSize; n++ {
		if k, err := f.ReadAt(block, n*BlockSize); err != nil && (!errors.Is(err, io.EOF) || k == 0) {
			break
		}
		if !slices.Equal(block, zero) {
			found = append(found, n)
		}
	}
	return found, nil
}

func (c *Cloud) listBlocks(w http.ResponseWriter, _ *http.Request, sc scope, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	reg, err := c.begin("ListSnapshotBlocks", sc)
	if err != nil {
		return err
	}
	s, found := reg.snapshots[id]
	if !found {
		return &Error{Status: http.StatusNotFound, Code: "ResourceNotFoundException:SNAPSHOT_NOT_FOUND", Message: "The snapshot '" + id + "' does not exist."}
	}
	filled, err := c.filled(s)
	if err != nil {
		return err
	}
	type block struct {
		BlockIndex int64
		BlockToken string
	}
	blocks := []block{}
	for _, n := range filled {
		blocks = append(blocks, block{n, base64.StdEncoding.EncodeToString(fmt.Append(nil, id, n))})
	}
	writeJSON(w, http.StatusOK, map[string]any{"Blocks": blocks, "VolumeSize": s.size, "BlockSize": BlockSize, "ExpiryTime": s.born.Unix() + 3600})
	return nil
}

func (c *Cloud) getBlock(w http.ResponseWriter, sc scope, id, index string) error {
	c.mu.Lock()
	_, err := c.begin("GetSnapshotBlock", sc)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(index, 10, 64)
	if err != nil {
		return invalid("INVALID_BLOCK", "block %s", index)
	}
	f, err := os.Open(c.snapshotFile(id))
	if err != nil {
		return &Error{Status: http.StatusNotFound, Code: "ResourceNotFoundException:SNAPSHOT_NOT_FOUND", Message: "The snapshot '" + id + "' does not exist."}
	}
	defer f.Close()
	data := make([]byte, BlockSize)
	if _, err := f.ReadAt(data, n*BlockSize); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	sum := sha256.Sum256(data)
	w.Header().Set("x-amz-Checksum", base64.StdEncoding.EncodeToString(sum[:]))
	w.Header().Set("x-amz-Checksum-Algorithm", "SHA256")
	w.Header().Set("x-amz-Data-Length", strconv.Itoa(BlockSize))
	w.Header().Set("Content-Type", "application/octet-stream")
	_, err = w.Write(data)
	return err
}
