-- The shop's database, made when the demo makes its folder.
create table orders (order_id text primary key, customer text not null, item text not null, amount real not null);
create table stock (item text primary key, pieces integer not null check (pieces >= 0));
insert into stock values ('lamp', 20), ('desk', 20), ('chair', 20);
