package cloud

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// buckets keep the objects of S3 in files, for gofakes3, which has the protocol. Its own stores keep them in memory, parts of
// uploads even twice, and disks of virtual machines are too large for that.
type buckets struct {
	dir string

	mu      sync.Mutex
	serial  int
	all     map[string]*bucket
	uploads map[gofakes3.UploadID]*upload
}

type bucket struct {
	region  string
	born    time.Time
	given   bool
	objects map[string]*stored
}

// stored is an object, or a part of an upload. An object that came in parts has no file of its own before somebody reads it, so
// that an upload costs no more than to receive it.
type stored struct {
	path    string
	parts   []*stored // instead of path
	size    int64
	hash    []byte
	meta    map[string]string
	changed time.Time
}

// upload is one in parts that is neither complete nor aborted.
type upload struct {
	bucket, key string
	meta        map[string]string
	born        time.Time
	parts       map[int]*stored
}

func newBuckets(dir string) *buckets {
	return &buckets{dir: dir, all: map[string]*bucket{}, uploads: map[gofakes3.UploadID]*upload{}}
}

// file is the path of an object.
func (b *buckets) file(bucket, key string) (path string, found bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, missing := b.object(bucket, key)
	if missing != nil {
		return "", false, nil
	}
	err = b.join(o)
	return o.path, true, err
}

func (b *buckets) regionOf(name string) (region string, found bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bucket := b.all[name]; bucket != nil {
		return bucket.region, true
	}
	return "", false
}

// place says which region a bucket is in.
func (b *buckets) place(name, region string, given bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bucket := b.all[name]; bucket != nil && bucket.region == "" {
		bucket.region, bucket.given = region, given
	}
}

// objects lists what somebody has made, as [Cloud.Objects] wants it.
func (b *buckets) objects() []Object {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Object
	for name, bucket := range b.all {
		if !bucket.given {
			all = append(all, Object{Kind: "buckets", Region: bucket.region, ID: name})
		}
		for key := range bucket.objects {
			all = append(all, Object{Kind: "s3 objects", Region: bucket.region, ID: name + "/" + key, Name: key})
		}
	}
	for id, u := range b.uploads {
		all = append(all, Object{Kind: "s3 uploads", Region: b.all[u.bucket].region, ID: string(id), Name: u.bucket + "/" + u.key})
	}
	return all
}

// object is one that exists; b.mu is held.
func (b *buckets) object(name, key string) (*stored, error) {
	bucket := b.all[name]
	if bucket == nil {
		return nil, gofakes3.BucketNotFound(name)
	}
	if o := bucket.objects[key]; o != nil {
		return o, nil
	}
	return nil, gofakes3.KeyNotFound(key)
}

// receive writes what is uploaded to a new file.
func (b *buckets) receive(input io.Reader, size int64) (*stored, error) {
	b.mu.Lock()
	b.serial++
	path := filepath.Join(b.dir, fmt.Sprintf("s3-%d", b.serial))
	b.mu.Unlock()
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	h := md5.New()
	n, err := io.Copy(io.MultiWriter(f, h), input)
	if err == nil && n != size {
		err = gofakes3.ErrIncompleteBody
	}
	if err = errors.Join(f.Close(), err); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return &stored{path: path, size: n, hash: h.Sum(nil), changed: time.Now()}, nil
}

// discard removes the file of what is no longer there.
func (o *stored) discard() {
	if o == nil {
		return
	}
	for _, part := range o.parts {
		part.discard()
	}
	_ = os.Remove(o.path) // the cloud's folder is temporary
}

// ListBuckets implements gofakes3.Backend.
func (b *buckets) ListBuckets() ([]gofakes3.BucketInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []gofakes3.BucketInfo
	for _, name := range slices.Sorted(maps.Keys(b.all)) {
		all = append(all, gofakes3.BucketInfo{Name: name, CreationDate: gofakes3.NewContentTime(b.all[name].born)})
	}
	return all, nil
}

// ListBucket implements gofakes3.Backend.
func (b *buckets) ListBucket(name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	bucket := b.all[name]
	if bucket == nil {
		return nil, gofakes3.BucketNotFound(name)
	}
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	list := gofakes3.NewObjectList()
	for _, key := range slices.Sorted(maps.Keys(bucket.objects)) {
		var match gofakes3.PrefixMatch
		if page.HasMarker && key <= page.Marker || !prefix.Match(key, &match) {
			continue
		}
		if page.MaxKeys > 0 && int64(len(list.Contents)+len(list.CommonPrefixes)) >= page.MaxKeys {
			list.IsTruncated = true
			break
		}
		if list.NextMarker = key; match.CommonPrefix {
			list.AddPrefix(match.MatchedPart)
			continue
		}
		o := bucket.objects[key]
		list.Add(&gofakes3.Content{Key: key, LastModified: gofakes3.NewContentTime(o.changed), ETag: gofakes3.FormatETag(o.hash), Size: o.size})
	}
	return list, nil
}

// CreateBucket implements gofakes3.Backend.
func (b *buckets) CreateBucket(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all[name] != nil {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
	}
	b.all[name] = &bucket{born: time.Now(), objects: map[string]*stored{}}
	return nil
}

// BucketExists implements gofakes3.Backend.
func (b *buckets) BucketExists(name string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all[name] != nil, nil
}

// DeleteBucket implements gofakes3.Backend.
func (b *buckets) DeleteBucket(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	bucket := b.all[name]
	switch {
	case bucket == nil:
		return gofakes3.BucketNotFound(name)
	case len(bucket.objects) > 0:
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	delete(b.all, name)
	return nil
}

// ForceDeleteBucket implements gofakes3.Backend; no request leads here.
func (b *buckets) ForceDeleteBucket(name string) error { return b.DeleteBucket(name) }

// GetObject implements gofakes3.Backend.
func (b *buckets) GetObject(name, key string, asked *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, err := b.object(name, key)
	if err != nil {
		return nil, err
	}
	part, err := asked.Range(o.size)
	if err != nil {
		return nil, err
	}
	if err := b.join(o); err != nil {
		return nil, err
	}
	f, err := os.Open(o.path)
	if err != nil {
		return nil, err
	}
	content := struct {
		io.Reader
		io.Closer
	}{f, f}
	if part != nil {
		content.Reader = io.NewSectionReader(f, part.Start, part.Length)
	}
	return &gofakes3.Object{Name: key, Metadata: o.meta, Size: o.size, Hash: o.hash, Range: part, Contents: content}, nil
}

// HeadObject implements gofakes3.Backend.
func (b *buckets) HeadObject(name, key string) (*gofakes3.Object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, err := b.object(name, key)
	if err != nil {
		return nil, err
	}
	return &gofakes3.Object{Name: key, Metadata: o.meta, Size: o.size, Hash: o.hash, Contents: io.NopCloser(nil)}, nil
}

// PutObject implements gofakes3.Backend.
func (b *buckets) PutObject(name, key string, meta map[string]string, input io.Reader, size int64, conditions *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	o, err := b.receive(input, size)
	if err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	o.meta = meta
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.put(name, key, o, conditions); err != nil {
		o.discard()
		return gofakes3.PutObjectResult{}, err
	}
	return gofakes3.PutObjectResult{}, nil
}

// put gives a key an object; b.mu is held.
func (b *buckets) put(name, key string, o *stored, conditions *gofakes3.PutConditions) error {
	bucket := b.all[name]
	if bucket == nil {
		return gofakes3.BucketNotFound(name)
	}
	old := bucket.objects[key]
	if conditions != nil {
		info := gofakes3.ConditionalObjectInfo{Exists: old != nil}
		if old != nil {
			info.Hash = old.hash
		}
		if err := gofakes3.CheckPutConditions(conditions, &info); err != nil {
			return err
		}
	}
	old.discard()
	bucket.objects[key] = o
	return nil
}

// CopyObject implements gofakes3.Backend.
func (b *buckets) CopyObject(fromBucket, fromKey, toBucket, toKey string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObject(b, fromBucket, fromKey, toBucket, toKey, meta)
}

// DeleteObject implements gofakes3.Backend.
func (b *buckets) DeleteObject(name, key string) (gofakes3.ObjectDeleteResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	bucket := b.all[name]
	if bucket == nil {
		return gofakes3.ObjectDeleteResult{}, gofakes3.BucketNotFound(name)
	}
	bucket.objects[key].discard()
	delete(bucket.objects, key)
	return gofakes3.ObjectDeleteResult{}, nil
}

// DeleteMulti implements gofakes3.Backend.
func (b *buckets) DeleteMulti(name string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var out gofakes3.MultiDeleteResult
	for _, key := range keys {
		if _, err := b.DeleteObject(name, key); err != nil {
			return out, err
		}
		out.Deleted = append(out.Deleted, gofakes3.ObjectID{Key: key})
	}
	return out, nil
}

// CreateMultipartUpload implements gofakes3.MultipartBackend.
func (b *buckets) CreateMultipartUpload(name, key string, meta map[string]string) (gofakes3.UploadID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all[name] == nil {
		return "", gofakes3.BucketNotFound(name)
	}
	b.serial++
	id := gofakes3.UploadID(fmt.Sprintf("upload-%d", b.serial))
	b.uploads[id] = &upload{bucket: name, key: key, meta: meta, born: time.Now(), parts: map[int]*stored{}}
	return id, nil
}

// upload is one that is under way; b.mu is held.
func (b *buckets) upload(name, key string, id gofakes3.UploadID) (*upload, error) {
	if u := b.uploads[id]; u != nil && u.bucket == name && u.key == key {
		return u, nil
	}
	return nil, gofakes3.ErrNoSuchUpload
}

// UploadPart implements gofakes3.MultipartBackend.
func (b *buckets) UploadPart(name, key string, id gofakes3.UploadID, number int, size int64, input io.Reader) (string, error) {
	o, err := b.receive(input, size)
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	u, err := b.upload(name, key, id)
	if err != nil {
		o.discard()
		return "", err
	}
	u.parts[number].discard()
	u.parts[number] = o
	return gofakes3.FormatETag(o.hash), nil
}

// ListMultipartUploads implements gofakes3.MultipartBackend, all on one page.
func (b *buckets) ListMultipartUploads(name string, _ *gofakes3.UploadListMarker, prefix gofakes3.Prefix, limit int64) (*gofakes3.ListMultipartUploadsResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &gofakes3.ListMultipartUploadsResult{Bucket: name, Prefix: prefix.Prefix, Delimiter: prefix.Delimiter, MaxUploads: limit}
	for id, u := range b.uploads {
		if u.bucket == name && prefix.Match(u.key, nil) {
			out.Uploads = append(out.Uploads, gofakes3.ListMultipartUploadItem{Key: u.key, UploadID: id, StorageClass: "STANDARD", Initiated: gofakes3.NewContentTime(u.born)})
		}
	}
	return out, nil
}

// ListParts implements gofakes3.MultipartBackend.
func (b *buckets) ListParts(name, key string, id gofakes3.UploadID, marker int, limit int64) (*gofakes3.ListMultipartUploadPartsResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, err := b.upload(name, key, id)
	if err != nil {
		return nil, err
	}
	out := &gofakes3.ListMultipartUploadPartsResult{Bucket: name, Key: key, UploadID: id, MaxParts: limit, PartNumberMarker: marker, StorageClass: "STANDARD"}
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n <= marker {
			continue
		}
		if int64(len(out.Parts)) >= limit {
			out.IsTruncated = true
			break
		}
		o := u.parts[n]
		out.Parts = append(out.Parts, gofakes3.ListMultipartUploadPartItem{PartNumber: n, LastModified: gofakes3.NewContentTime(o.changed), ETag: gofakes3.FormatETag(o.hash), Size: o.size})
		out.NextPartNumberMarker = n
	}
	return out, nil
}

// AbortMultipartUpload implements gofakes3.MultipartBackend.
func (b *buckets) AbortMultipartUpload(name, key string, id gofakes3.UploadID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, err := b.upload(name, key, id)
	if err != nil {
		return err
	}
	b.drop(id, u)
	return nil
}

func (b *buckets) drop(id gofakes3.UploadID, u *upload) {
	for _, o := range u.parts {
		o.discard()
	}
	delete(b.uploads, id)
}

// CompleteMultipartUpload implements gofakes3.MultipartBackend.
func (b *buckets) CompleteMultipartUpload(name, key string, id gofakes3.UploadID, in *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, err := b.upload(name, key, id)
	if err != nil {
		return "", "", err
	}
	o, err := u.whole(in.Parts)
	if err != nil {
		return "", "", err
	}
	if err := b.put(name, key, o, nil); err != nil {
		return "", "", err
	}
	b.drop(id, u)
	return "", gofakes3.FormatETag(o.hash), nil
}

// whole makes an object of the parts that a client names, which are the upload's no longer.
func (u *upload) whole(parts []gofakes3.CompletedPart) (*stored, error) {
	o := &stored{meta: u.meta, changed: time.Now()}
	h := md5.New()
	for i, p := range parts {
		part := u.parts[p.PartNumber]
		switch {
		case part == nil:
			return nil, gofakes3.ErrInvalidPart
		case i > 0 && p.PartNumber <= parts[i-1].PartNumber:
			return nil, gofakes3.ErrInvalidPartOrder
		}
		h.Write(part.hash)
		o.size += part.size
		o.parts = append(o.parts, part)
	}
	for _, p := range parts {
		delete(u.parts, p.PartNumber)
	}
	o.hash = h.Sum(nil)
	return o, nil
}

// join gives an object that came in parts a file of its own; b.mu is held.
func (b *buckets) join(o *stored) error {
	if len(o.parts) == 0 {
		return nil
	}
	b.serial++
	o.path = filepath.Join(b.dir, fmt.Sprintf("s3-%d", b.serial))
	f, err := os.Create(o.path)
	if err != nil {
		return err
	}
	for _, part := range o.parts {
		if err := part.appendTo(f); err != nil {
			return errors.Join(err, f.Close())
		}
		part.discard()
	}
	o.parts = nil
	return f.Close()
}

func (o *stored) appendTo(f *os.File) error {
	part, err := os.Open(o.path)
	if err != nil {
		return err
	}
	defer part.Close()
	_, err = io.Copy(f, part)
	return err
}
