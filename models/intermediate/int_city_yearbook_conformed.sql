with

{{ conform_cities('city_yearbook', key='city_id, year') }}

select * from final
