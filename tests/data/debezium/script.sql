-- What happens while Debezium is recorded: see scripts/record_debezium.py.
-- part: tables
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE TYPE mood AS ENUM ('sad','ok','happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE kinds (id int PRIMARY KEY, content text, b bool, i2 smallint, i8 bigint, o oid, r real, d double precision, n numeric, n2 numeric(12,2), c char(5), vc varchar(20),
 j json, jb jsonb, ts timestamp, ts3 timestamp(3), tz timestamptz, da date, ti time, titz timetz, iv interval, u uuid, ba bytea, e mood, dom positive, inet inet, cidr cidr, mac macaddr, money money,
 bit1 bit(1), bit5 bit(5), vb varbit(20), pt point, bx box, ci circle, li line, ls lseg, pa path, po polygon, ir int4range, tr tstzrange, nr numrange, mr int4multirange, hs hstore, x xml, tv tsvector, tq tsquery, lsn pg_lsn, comp pair,
 at text[], ai int[], ab bigint[], an numeric[], af double precision[], abo bool[], ats timestamp[], atz timestamptz[], ada date[], au uuid[], aj jsonb[], ae mood[], aba bytea[], ai2 int[], avc varchar(5)[], ain inet[], aiv interval[], adom positive[], atm time[], amoney money[], ar real[], nm name);
CREATE TABLE documents (id text PRIMARY KEY, title text NOT NULL, content text, metadata jsonb, tags numeric[],
    binary_part bytea, numbers int[], labels text[], pairs hstore, ids uuid[], state text NOT NULL DEFAULT 'public');
ALTER TABLE documents ALTER content SET STORAGE EXTERNAL, ALTER metadata SET STORAGE EXTERNAL,
    ALTER tags SET STORAGE EXTERNAL, ALTER binary_part SET STORAGE EXTERNAL, ALTER numbers SET STORAGE EXTERNAL,
    ALTER labels SET STORAGE EXTERNAL, ALTER pairs SET STORAGE EXTERNAL, ALTER ids SET STORAGE EXTERNAL;
CREATE TABLE keys (a timestamptz, b numeric(6,2), c int, content text, PRIMARY KEY (c, a, b));
INSERT INTO documents (id, title, content) VALUES ('copied-1', 'Copied', 'The first.'), ('copied-2', 'Copied', NULL);
-- part: rows
INSERT INTO kinds (id,content,b,i2,i8,o,r,d,n,n2,c,vc,j,jb,ts,ts3,tz,da,ti,titz,iv,u,ba,e,dom,inet,cidr,mac,money,bit1,bit5,vb,pt,bx,ci,li,ls,pa,po,ir,tr,nr,mr,hs,x,tv,tq,lsn,comp,at,ai,ai2,ab,an,af,abo,ats,atz,ada,au,aj,ae,aba,avc,ain,aiv,adom,atm,amoney,ar,nm) VALUES (1,'one',true,-5,9223372036854775807,4000000000,0.1,1e20,123456789012345678901234567890.123,1.50,'ab','v','{"a": 1.50,  "b":[1,null]}','{"a": 1.50, "z":"é"}','2024-02-29 12:00:00','2024-02-29 12:00:00.5','2024-02-29 12:00:00.123456+02','2024-02-29','12:34:56.5','12:34:56+02','1 year 2 mons 3 days 04:05:06.789','550E8400-e29b-41d4-a716-446655440000','\xDEADbeef','happy',7,'10.0.0.1/24','10.0.0.0/8','08:00:2b:01:02:03','-1234.5',B'1',B'00101',B'00101','(1,2.5)','(1,1),(0,0)','<(1,2),3>','{1,2,3}','[(0,0),(1,1)]','[(0,0),(1,1e20)]','((0,0),(1,1),(2,0))','[1,5)','[2024-01-01 00:00+00,)','[1.5,2]','{[1,3),[5,6)}','bb=>2, a=>NULL, "q\"x"=>"y z"','<a/>','fat:2 cat:1','fat & cat','16/B374D848',ROW(1,'x y'),ARRAY['a','b "c"',NULL,''],'{{1,2},{3,NULL}}','[2:3]={7,NULL}','{1,9223372036854775807}','{1.50,NaN,7}','{1,2.5,NaN}','{t,f,NULL}','{2024-02-29 12:00:00.5}','{2024-02-29 12:00:00+02,infinity}','{2024-02-29}','{550e8400-e29b-41d4-a716-446655440000}',ARRAY['{"a":1}'::jsonb, NULL],'{sad,ok}',ARRAY['\xdead'::bytea],'{a,b}','{10.0.0.1,10.0.0.0/8}','{1 day,-02:00:00}','{1,2}','{12:00:00.25}','{1.5}','{0.1,1}','nam');
INSERT INTO kinds (id,content,b,r,d,n,n2,c,ts,ts3,tz,da,ti,titz,iv,ba,money,bit1,bit5,vb,pt,hs,at,ai,ab,an,ats,af,ada) VALUES (2,'two: limits',false,'NaN','-Infinity','NaN',-0.01,'','infinity','1969-12-31 23:59:59.999','-infinity','infinity','24:00:00','00:00:00.25-03:30','-1 day +00:00:01.5','',0,B'0',B'10000',B'','(1e-7,1e15)','','{}','{}',NULL,'{}','{infinity,NULL}','{}','{infinity}');
INSERT INTO kinds (id,content,i8,r,d,n,ts,ts3,tz,da,ti,titz,iv,atz,ada,n2,ar,jb,j) VALUES (3,'three: ages','-9223372036854775808','3.4028235e38','5e-324',1e-10,'0044-03-15 12:00:00 BC','12024-02-29 12:00:00','0044-03-15 12:00:00.5+00 BC','0044-03-15 BC','00:00:00.000001','23:59:59.999999+00','-1 year -2 mons +3 days -04:05:06.000001','{0044-03-15 12:00:00+00 BC}','{0044-03-15 BC}',0,'{8.41e21}','9007199254740993','"x"');
INSERT INTO kinds (id,content,r,d,n,ts,tz,iv,ts3,da,jb,n2,af) VALUES (4,'four: more',8.41e21,123456789.123,100,'2024-02-29 12:00:00.000001','2024-06-30 23:59:59.9+05:30','00:00:00','0001-01-01 00:00:00','0001-01-01','null','NaN','{-Infinity,Infinity,0}');
INSERT INTO kinds (id,content,iv,da,ts,tz,money,ti,pt,r,d) VALUES (5,NULL,'1 mon','-infinity','-infinity','infinity',92233720368547758.07,'00:00:00','(-0,NaN)',1e-6,0.0001);
INSERT INTO kinds (id,content,iv,da,ts,tz,r,d,n) VALUES (6,'six: a calendar','10 years -3 days 25:00:00','5874897-12-31','294276-12-31 23:59:59.999999','294276-12-31 23:59:59.999999+00',16777216,1e15,1e20);
INSERT INTO kinds (id,content,at,avc,ab,af,ada,aj) VALUES (7,'two-dimensional','{{a,b},{c,NULL}}','{{a},{b}}','{{1},{2}}','{{1.5},{2}}','{{2024-02-29}}',ARRAY[ARRAY['1'::jsonb]]);
INSERT INTO kinds (id,content,ti,iv,an,n2,d,ts,tz,da) VALUES (8,'eight','00:00:00.5','-00:00:00.5','{1.50}',NULL,'NaN','1500-03-01 00:00:00.1','1500-03-01 00:00:00.1+00','1500-03-01');
INSERT INTO kinds (id,content,at,ai,ab,an,af,abo,au,aj,ae,ai2,avc,ar) VALUES (9,'nine','{a,"b c"}','{1,2}','{3}','{1.50,7}','{1,2.5}','{t,f}','{550e8400-e29b-41d4-a716-446655440000}',ARRAY['{"a":1.0}'::jsonb],'{sad}','{1}','{x}','{0.1}');
INSERT INTO kinds (id,content,n,n2,d,r) VALUES (10,'ten','Infinity',12.30,'-0','-0');
-- part: changes
INSERT INTO documents (id, title, content, metadata) VALUES ('doc-1', 'One', 'Small.', '{"tenant": "a", "n": 1.50}');
UPDATE documents SET content = 'Small, changed.' WHERE id = 'doc-1';
INSERT INTO documents (id, title, content, metadata, tags, binary_part, numbers, labels, pairs, ids)
    SELECT 'big', 'Big', string_agg(md5(i::text), ' '), jsonb_build_object('long', string_agg(md5(i::text), '')),
    (SELECT array_agg(n::numeric) FROM generate_series(1, 700) n), decode(string_agg(md5(i::text), ''), 'hex'), (SELECT array_agg(n * 1000) FROM generate_series(1, 700) n), array_agg(md5(i::text)),
    hstore(array_agg(i::text), array_agg(md5(i::text))), array_agg(md5(i::text)::uuid) FROM generate_series(1, 300) i;
UPDATE documents SET title = 'Big, its text unchanged' WHERE id = 'big';
UPDATE documents SET id = 'big/renamed' WHERE id = 'big';
INSERT INTO documents (id, title, content) VALUES ('quotes', 'Q', '__debezium_unavailable_value');
UPDATE documents SET content = 'It says __debezium_unavailable_value here.' WHERE id = 'quotes';
UPDATE documents SET state = 'draft' WHERE id = 'doc-1';
DELETE FROM documents WHERE id = 'quotes';
ALTER TABLE documents REPLICA IDENTITY FULL;
UPDATE documents SET title = 'Big, with the old row at hand' WHERE id = 'big/renamed';
DELETE FROM documents WHERE id = 'big/renamed';
ALTER TABLE documents REPLICA IDENTITY DEFAULT;
INSERT INTO keys VALUES ('2024-02-29 12:00:00.5+02', 1.50, 7, 'A key of three.');
DELETE FROM keys;
SELECT pg_logical_emit_message(false, 'rtrag', 'not transactional');
ALTER TABLE documents DROP COLUMN content;
UPDATE documents SET title = 'Without its text' WHERE id = 'doc-1';
TRUNCATE documents, keys;
